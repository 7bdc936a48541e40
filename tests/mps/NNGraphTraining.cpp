// Graphs that train: updates through data sources, on the device and on the host.
#include "support/GradientCheck.hpp"
#include "support/Graphs.hpp"
#include "support/reference/Convolution.hpp"
#include "support/reference/Loss.hpp"
#include "support/reference/Pooling.hpp"

#include <mpsvk/MPS/CNNConvolution.hpp>
#include <mpsvk/MPS/NNConvolutionNodes.hpp>
#include <mpsvk/MPS/NNLossNodes.hpp>
#include <mpsvk/MPS/NNNeuronNodes.hpp>
#include <mpsvk/MPS/NNOptimizer.hpp>
#include <mpsvk/MPS/NNPoolingNodes.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <atomic>
#include <cstring>

using namespace mpsvk;
using namespace mpsvk::test;
using Catch::Matchers::ContainsSubstring;
using reference::Tensor;

namespace {

constexpr double rate = 0.05;

std::vector<float> floats(const std::vector<double>& values) { return {values.begin(), values.end()}; }
std::vector<double> doubles(std::span<const float> values) { return {values.begin(), values.end()}; }
std::vector<double> contents(const MTL::Buffer& buffer) {
    const auto bytes = buffer.contents();
    return doubles({reinterpret_cast<const float*>(bytes.data()), bytes.size() / sizeof(float)});
}

/// Plain gradient descent on the device or the host; or no change.
struct Source : MPS::CNNConvolutionDataSource {
    enum class Update { Nothing, Device, Host };

    Source(uint64_t size, uint64_t inputs, uint64_t outputs, uint64_t seed, Update update = Update::Device)
        : kind(update), shape(size, size, inputs, outputs), optimizer(testDevice(), float(rate)),
          w(floats(reference::randomVector(size * size * inputs * outputs, seed, -.3, .3))),
          b(floats(reference::randomVector(outputs, seed + 1, -.1, .1))) {}

    MPS::DataType dataType() const override { return MPS::DataType::Float32; }
    MPS::DataType kernelWeightsDataType() const override { return MPS::DataType::Float32; }
    MPS::CNNConvolutionDescriptor descriptor() const override { return shape; }
    std::span<const std::byte> weights() const override { return std::as_bytes(std::span(w)); }
    std::span<const float> biasTerms() const override { return b; }
    std::string label() const override { return "source"; }
    bool load() override {
        ++loads;
        if (master) { // the device's word is the last
            w = floats(contents(master.weights()));
            b = floats(contents(master.biases()));
        }
        return loads != failAt;
    }
    void purge() override { ++purges; }
    MPS::CNNConvolutionWeightsAndBiasesState update(const MTL::CommandBuffer& commands,
                                                    const MPS::CNNConvolutionGradientState& gradient,
                                                    const MPS::CNNConvolutionWeightsAndBiasesState& source) override {
        ++updates;
        if (kind != Update::Device) return {};
        const bool first = !master;
        if (first) master = MPS::CNNConvolutionWeightsAndBiasesState(testDevice(), shape);
        optimizer.encode(commands, gradient, usesMaster && !first ? master : source, {}, master);
        return master;
    }
    bool update(const MPS::CNNConvolutionGradientState& gradient,
                const MPS::CNNConvolutionWeightsAndBiasesState& source) override {
        ++updates;
        if (kind != Update::Host) return false;
        const auto step = [](std::vector<float>& values, const MTL::Buffer& from, const MTL::Buffer& change) {
            const auto old = contents(from), g = contents(change);
            for (size_t i = 0; i < values.size(); ++i) values[i] = float(old[i] - rate * g[i]);
        };
        step(w, source.weights(), gradient.gradientForWeights());
        step(b, source.biases(), gradient.gradientForBiases());
        return true;
    }
    /// What the device has, or the host.
    std::vector<double> trained() const { return master ? contents(master.weights()) : doubles(w); }
    std::vector<double> trainedBias() const { return master ? contents(master.biases()) : doubles(b); }

    Update kind;
    bool usesMaster = false;
    MPS::CNNConvolutionDescriptor shape;
    MPS::NNOptimizerStochasticGradientDescent optimizer;
    std::vector<float> w, b;
    MPS::CNNConvolutionWeightsAndBiasesState master;
    std::atomic<int> loads = 0, purges = 0, updates = 0;
    int failAt = 0;
};

/// Convolution 3x3, tanh, max pooling 2x2, fully connected, squared error: in doubles.
struct Reference {
    Reference(const Source& conv, const Source& fc) {
        c.inputChannels = 3;
        c.outputChannels = 4;
        c.kernelWidth = c.kernelHeight = 3;
        c.outputWidth = c.outputHeight = 6;
        c.weights = doubles(conv.w);
        c.bias = doubles(conv.b);
        fcWeights = doubles(fc.w);
        fcBias = doubles(fc.b);
        p.kernelWidth = p.kernelHeight = p.strideX = p.strideY = 2;
        p.offsetX = p.offsetY = 1;
        p.edge = reference::EdgeMode::Clamp;
        p.outputWidth = p.outputHeight = 3;
    }
    struct Step {
        Tensor y, dx;
        std::vector<double> losses;
    };
    Tensor forward(const Tensor& x) const {
        const Tensor pooled = reference::forward(p, reference::forward(tanH, reference::forward(c, x)));
        return reference::forward(reference::fullyConnected(pooled, fcWeights, fcBias), pooled);
    }
    Step step(const Tensor& x, const Tensor& t) {
        const Tensor a = reference::forward(c, x), h = reference::forward(tanH, a), m = reference::forward(p, h);
        const auto fc = reference::fullyConnected(m, fcWeights, fcBias);
        Step made;
        made.y = reference::forward(fc, m);
        made.losses = reference::forward(reference::Loss{}, {made.y, t}).v;
        const Tensor dy = reference::fusedGradient(reference::Loss{}, {made.y, t});
        const Tensor dm = reference::dataGradient(fc, dy, m.h, m.w);
        const Tensor da = reference::gradient(tanH, reference::gradient(p, dm, h), a);
        made.dx = reference::dataGradient(c, da, x.h, x.w);
        descend(fcWeights, reference::weightsGradient(fc, dy, m));
        descend(fcBias, reference::biasGradient(dy));
        descend(c.weights, reference::weightsGradient(c, da, x));
        descend(c.bias, reference::biasGradient(da));
        return made;
    }
    static void descend(std::vector<double>& values, const std::vector<double>& gradient) {
        for (size_t i = 0; i < values.size(); ++i) values[i] -= rate * gradient[i];
    }
    const reference::Neuron tanH{reference::NeuronType::TanH, 1, 1, 0, {}};
    reference::Convolution c;
    reference::Pooling p;
    std::vector<double> fcWeights, fcBias;
};

/// The same in nodes.
struct Network {
    explicit Network(Source::Update update = Source::Update::Device)
        : conv(std::make_shared<Source>(3, 3, 4, 1, update)), fc(std::make_shared<Source>(3, 4, 5, 3, update)) {}
    MPS::CNNFullyConnectedNode forward(const MPS::NNImageNode& input) const {
        const MPS::CNNConvolutionNode first(input, conv);
        first.setLabel("conv");
        const MPS::CNNNeuronTanHNode tanH(first.resultImage());
        const MPS::CNNPoolingMaxNode pooling(tanH.resultImage(), 2);
        return MPS::CNNFullyConnectedNode(pooling.resultImage(), fc);
    }
    MPS::NNGraph training(bool needed, MPS::NNTrainingStyle style = MPS::NNTrainingStyle::UpdateDeviceGPU) const {
        const MPS::CNNLossNode loss(forward(MPS::NNImageNode()).resultImage(),
                                    {MPS::CNNLossType::MeanSquaredError, MPS::CNNReductionType::Sum});
        const auto termini = loss.trainingGraph(std::nullopt, [&](MPS::NNFilterNode gradient, auto, auto, auto) {
            if (gradient.as<MPS::CNNConvolutionGradientNode>()) gradient.setTrainingStyle(style);
        });
        return finished(MPS::NNGraph(testDevice(), termini.at(0).resultImage(), needed));
    }
    MPS::NNGraph inference() const {
        return finished(MPS::NNGraph(testDevice(), forward(MPS::NNImageNode()).resultImage(), true));
    }
    static MPS::NNGraph finished(const MPS::NNGraph& graph) {
        graph.setFormat(MPS::ImageFeatureChannelFormat::Float32);
        return graph;
    }
    std::shared_ptr<Source> conv, fc;
};

Tensor inputs(uint64_t seed) { return reference::random(4, 6, 6, 3, seed); }
Tensor targets(uint64_t seed) { return reference::random(4, 1, 1, 5, seed, -.5, .5); }
const reference::Tolerance close{1e-4, 1e-6};

} // namespace

TEST_CASE("updates on the device: every step equals the reference's") {
    for (const bool needed : {true, false}) {
        const Network network;
        Reference reference(*network.conv, *network.fc);
        const auto graph = network.training(needed);
        CHECK(network.conv->loads == network.conv->purges);
        for (int step = 0; step < 5; ++step) {
            INFO("step " << step << " needed " << needed);
            const Tensor x = inputs(10 + step % 2), t = targets(20 + step);
            const auto expected = reference.step(x, t);
            const auto labels = lossLabels(t);
            MPS::ImageBatch made;
            run([&](const MTL::CommandBuffer& commands) { made = graph.encodeBatch(commands, {upload(x)}, {labels}); });
            REQUIRE(made.size() == (needed ? 4 : 0));
            if (needed) CHECK(reference::compare(download(made), expected.dx, close)); // with the old weights
            CHECK(reference::compare(lossesOf(labels), expected.losses, close));
            CHECK(reference::compare(network.conv->trained(), reference.c.weights, close));
            CHECK(reference::compare(network.conv->trainedBias(), reference.c.bias, close));
            CHECK(reference::compare(network.fc->trained(), reference.fcWeights, close));
            CHECK(reference::compare(network.fc->trainedBias(), reference.fcBias, close));
            CHECK(network.conv->updates == step + 1);
        }
        CHECK_THAT(graph.debugDescription(), ContainsSubstring("plan:"));
        CHECK_THAT(graph.debugDescription(), needed ? !ContainsSubstring("not needed") : ContainsSubstring("not needed"));
    }
}

TEST_CASE("training by replay gives the bits of eager training, with steps in flight") {
    const Network replayed, eager;
    const auto fast = replayed.training(true), slow = eager.training(true);
    slow.setDestinationImageAllocator(std::make_shared<PlainAllocator>());
    std::vector<MPS::StateBatch> a, b;
    MTL::CommandBuffer last;
    for (int step = 0; step < 8; ++step) {
        a.push_back(lossLabels(targets(30 + step)));
        b.push_back(lossLabels(targets(30 + step)));
        const auto x = upload(inputs(step));
        last = testQueue().commandBuffer();
        fast.encodeBatch(last, {x}, {a.back()});
        slow.encodeBatch(last, {x}, {b.back()});
        last.commit();
    }
    last.waitUntilCompleted();
    REQUIRE_FALSE(last.error());
    for (int step = 0; step < 8; ++step) CHECK(lossesOf(a[step]) == lossesOf(b[step]));
    CHECK(replayed.conv->trained() == eager.conv->trained());
    CHECK(replayed.fc->trainedBias() == eager.fc->trainedBias());
    CHECK_THAT(slow.debugDescription(), !ContainsSubstring("plan:"));
}

TEST_CASE("updates on the host come after completion, and equal the reference's") {
    const Network network(Source::Update::Host);
    Reference reference(*network.conv, *network.fc);
    const auto graph = network.training(false, MPS::NNTrainingStyle::UpdateDeviceCPU);
    for (int step = 0; step < 4; ++step) {
        INFO("step " << step);
        const Tensor x = inputs(10), t = targets(20 + step);
        const auto expected = reference.step(x, t);
        const auto labels = lossLabels(t);
        run([&](const MTL::CommandBuffer& commands) {
            graph.encodeBatch(commands, {upload(x)}, {labels});
            CHECK(network.conv->updates == step);
        });
        CHECK(reference::compare(lossesOf(labels), expected.losses, close));
        CHECK(reference::compare(network.conv->trained(), reference.c.weights, close));
        CHECK(reference::compare(network.fc->trained(), reference.fcWeights, close));
        CHECK(network.conv->updates == step + 1);
    }
}

TEST_CASE("a source that returns nothing is asked and nothing changes") {
    for (const auto style : {MPS::NNTrainingStyle::UpdateDeviceGPU, MPS::NNTrainingStyle::UpdateDeviceCPU}) {
        const Network network(Source::Update::Nothing);
        const auto graph = network.training(false, style);
        const auto x = upload(inputs(1));
        std::vector<double> first;
        for (int step = 0; step < 3; ++step) {
            const auto labels = lossLabels(targets(2));
            run([&](const MTL::CommandBuffer& commands) { graph.encodeBatch(commands, {x}, {labels}); });
            if (step == 0) first = lossesOf(labels);
            CHECK(lossesOf(labels) == first);
            CHECK(network.fc->updates == step + 1);
        }
        CHECK(network.conv->loads == network.conv->purges);
    }
}

TEST_CASE("without training nobody is asked, and the data gradient is the same") {
    const Network frozen, trained;
    const auto x = upload(inputs(1));
    const Tensor dx = result(frozen.training(true, MPS::NNTrainingStyle::UpdateDeviceNone), {x}, {lossLabels(targets(2))});
    CHECK(frozen.conv->updates == 0);
    CHECK_FALSE(frozen.conv->master);
    CHECK(reference::compare(dx, Reference(*frozen.conv, *frozen.fc).step(inputs(1), targets(2)).dx, close));
    CHECK_THAT(refusal([&] { frozen.training(false, MPS::NNTrainingStyle::UpdateDeviceNone); }),
               ContainsSubstring("nothing to encode"));
}

TEST_CASE("gradient nodes take the forward node's training style") {
    const Network network;
    const MPS::NNImageNode input;
    const MPS::CNNConvolutionNode node(input, network.conv);
    CHECK(node.trainingStyle() == MPS::NNTrainingStyle::UpdateDeviceGPU);
    node.setTrainingStyle(MPS::NNTrainingStyle::UpdateDeviceCPU);
    const auto gradient = node.gradientFilter(input);
    CHECK(gradient.as<MPS::CNNConvolutionGradientNode>());
    CHECK_FALSE(gradient.as<MPS::CNNFullyConnectedGradientNode>());
    CHECK(gradient.trainingStyle() == MPS::NNTrainingStyle::UpdateDeviceCPU);
    node.trainingGraph(input, [](MPS::NNFilterNode made, auto, auto, auto) {
        CHECK(made.trainingStyle() == MPS::NNTrainingStyle::UpdateDeviceCPU);
    });
}

TEST_CASE("a graph that shares a source sees new weights after reloadFromDataSources only") {
    const Network network;
    Reference reference(*network.conv, *network.fc);
    const auto training = network.training(false);
    const auto inference = network.inference();
    const auto x = upload(inputs(1));
    const Tensor before = reference.forward(inputs(1));
    CHECK(reference::compare(result(inference, {x}), before, close));
    for (int epoch = 0; epoch < 2; ++epoch) {
        const Tensor old = reference.forward(inputs(1));
        for (int step = 0; step < 3; ++step) {
            reference.step(inputs(1), targets(step));
            run([&](const MTL::CommandBuffer& commands) {
                training.encodeBatch(commands, {x}, {lossLabels(targets(step))});
            });
        }
        CHECK(reference::compare(result(inference, {x}), old, close));
        inference.reloadFromDataSources();
        CHECK(reference::compare(result(inference, {x}), reference.forward(inputs(1)), close));
        CHECK_FALSE(reference::compare(reference.forward(inputs(1)), old, close));
    }
}

TEST_CASE("two nodes of one source: both ask for an update, and all uses come before the change") {
    const auto source = std::make_shared<Source>(3, 4, 4, 1);
    source->usesMaster = true;
    const MPS::NNImageNode input;
    const MPS::CNNConvolutionNode first(input, source), second(first.resultImage(), source);
    const MPS::CNNLossNode loss(second.resultImage(), {MPS::CNNLossType::MeanSquaredError, MPS::CNNReductionType::Sum});
    const auto termini = loss.trainingGraph(std::nullopt, {});
    const auto graph = Network::finished(MPS::NNGraph(testDevice(), termini.at(0).resultImage(), true));
    reference::Convolution c;
    c.inputChannels = c.outputChannels = 4;
    c.kernelWidth = c.kernelHeight = 3;
    c.outputWidth = c.outputHeight = 4;
    c.weights = doubles(source->w);
    c.bias = doubles(source->b);
    for (int step = 0; step < 3; ++step) {
        const Tensor x = reference::random(2, 4, 4, 4, 10 + step), t = reference::random(2, 4, 4, 4, 20 + step);
        const Tensor h = reference::forward(c, x), y = reference::forward(c, h);
        const Tensor dy = reference::fusedGradient(reference::Loss{}, {y, t}), dh = reference::dataGradient(c, dy, 4, 4);
        CHECK(reference::compare(result(graph, {upload(x)}, {lossLabels(t)}), reference::dataGradient(c, dh, 4, 4), close));
        const auto one = reference::weightsGradient(c, dy, h), two = reference::weightsGradient(c, dh, x);
        Reference::descend(c.weights, one);
        Reference::descend(c.weights, two);
        Reference::descend(c.bias, reference::biasGradient(dy));
        Reference::descend(c.bias, reference::biasGradient(dh));
        CHECK(reference::compare(source->trained(), c.weights, close));
        CHECK(source->updates == 2 * (step + 1));
    }
}

TEST_CASE("finite differences agree with the gradient of the weights through the whole graph") {
    const Network network;
    const Tensor x = reference::image(inputs(1), 0), t = reference::image(targets(2), 0);
    const auto start = doubles(network.conv->w);
    const auto lossAt = [&](const std::vector<double>& weights) {
        Network other;
        other.conv->w = floats(weights);
        const MPS::NNImageNode input, labels;
        const MPS::NNForwardLossNode loss(other.forward(input).resultImage(), labels,
                                          {MPS::CNNLossType::MeanSquaredError, MPS::CNNReductionType::Sum});
        const auto graph = Network::finished(MPS::NNGraph(testDevice(), loss.resultImage(), true));
        return result(graph, {upload(x), upload(t)}).v.at(0);
    };
    const auto graph = network.training(false);
    run([&](const MTL::CommandBuffer& commands) { graph.encodeBatch(commands, {upload(x)}, {lossLabels(t)}); });
    std::vector<double> gradient = network.conv->trained();
    for (size_t i = 0; i < gradient.size(); ++i) gradient[i] = (start[i] - gradient[i]) / rate;
    CHECK(reference::checkGradient(lossAt, start, gradient, {.step = 1e-2, .tolerance = 2e-2, .samples = 12}));
}

TEST_CASE("steps after the first take no memory of the device") {
    const Network network;
    const auto graph = network.training(false);
    std::vector<MPS::ImageBatch> x = {upload(inputs(1)), upload(inputs(2))};
    std::vector<MPS::StateBatch> labels;
    for (int i = 0; i < 12; ++i) labels.push_back(lossLabels(targets(i)));
    const auto step = [&](int i) {
        run([&](const MTL::CommandBuffer& commands) { graph.encodeBatch(commands, {x[i % 2]}, {labels[i]}); });
        return testDevice().currentAllocatedSize();
    };
    const uint64_t afterFirst = step(0);
    for (int i = 1; i < 12; ++i) CHECK(step(i) == afterFirst);
}

TEST_CASE("a source that does not load is refused with the node's name, an unused one is not loaded") {
    const Network network;
    network.conv->failAt = 1;
    CHECK_THAT(refusal([&] { network.inference(); }), ContainsSubstring("[CNNConvolutionNode \"conv\"]"));
    const Network pruned;
    const MPS::NNImageNode input;
    const MPS::CNNConvolutionNode used(input, pruned.conv), unused(used.resultImage(), pruned.fc);
    CHECK(unused.resultImage());
    Network::finished(MPS::NNGraph(testDevice(), used.resultImage(), true));
    CHECK(pruned.conv->loads == 1);
    CHECK(pruned.fc->loads == 0);
    CHECK_THAT(refusal([&] { MPS::CNNConvolutionNode(input, nullptr); }), ContainsSubstring("The data source is null."));
}
