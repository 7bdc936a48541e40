// Updates that a graph recognizes from the step before, and those that are others by then.
#include "mps/Matrix.hpp"
#include "mps/NNGraphNetwork.hpp"
#include "support/Kernels.hpp"
#include "support/Normalizations.hpp"
#include "support/Optimizers.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <mpsvk/Error.hpp>
#include <mpsvk/MPS/NNBatchNormalizationNodes.hpp>
#include <mpsvk/MTL/BlitCommandEncoder.hpp>

#include <map>

using namespace mpsvk;
using namespace mpsvk::test;

namespace {

MTL::Buffer bufferOf(const std::vector<float>& values) {
    const MTL::Buffer buffer = testDevice().newBuffer(values.size() * sizeof(float));
    std::ranges::copy(std::as_bytes(std::span(values)), buffer.contents().begin());
    return buffer;
}

/// Trained by what a test says.
struct Layer : network::Source {
    using Gradient = MPS::CNNConvolutionGradientState;
    using Rule = std::function<void(Layer&, const MTL::CommandBuffer&, const Gradient&)>;
    Layer(uint64_t size, uint64_t inputs, uint64_t outputs, uint64_t seed)
        : Source(size, inputs, outputs, seed),
          descent(testDevice(), .9f, false,
                  MPS::NNOptimizerDescriptor(.05f, 1, MPS::NNRegularizationType::None, 0)) {
        master = {bufferOf(w), bufferOf(b)};
        momenta = newMoments();
    }
    std::vector<MPS::Vector> newMoments() const {
        std::vector<MPS::Vector> made;
        for (const uint64_t length : {w.size(), b.size()})
            made.emplace_back(bufferOf(std::vector<float>(length)),
                              MPS::VectorDescriptor(length, MPS::DataType::Float32));
        return made;
    }
    void descend(const MTL::CommandBuffer& commands, const Gradient& gradient) {
        descent.encode(commands, gradient, master, momenta, master);
    }
    MPS::CNNConvolutionWeightsAndBiasesState
    update(MTL::CommandBuffer commands, Gradient gradient,
           MPS::CNNConvolutionWeightsAndBiasesState) override {
        if (++updates % period != 0) return {};
        rule(*this, commands, gradient);
        // A command in between, which nobody can remember.
        if (isApart) commands.impl().recordDeferred();
        return master;
    }
    Rule rule = [](Layer& layer, const MTL::CommandBuffer& commands, const Gradient& gradient) {
        layer.descend(commands, gradient);
    };
    bool isApart = false;
    size_t period = 1; ///< steps to an update
    MPS::NNOptimizerStochasticGradientDescent descent;
    std::vector<MPS::Vector> momenta;
};

/// Whether the updates' commands are those of another encode, as the plan's are.
bool areRecognized(const MTL::CommandBuffer& commands) {
    size_t included = 0;
    for (const auto& segment : commands.impl().segments)
        included +=
            size_t(std::ranges::count(segment->commands.commands(), vk::CommandList::Kind::Included,
                                      &vk::CommandList::Command::kind));
    return included == 2;
}

/// Two networks that train alike. The graph of the second one recognizes nothing.
struct Twins {
    explicit Twins(const Layer::Rule& rule = {}) {
        for (network::Network* net : {&known, &apart}) {
            net->conv = std::make_shared<Layer>(3, 3, 4, 1);
            net->fc = std::make_shared<Layer>(3, 4, 5, 3);
            for (Layer* layer : layersOf(*net)) {
                layer->isApart = net == &apart;
                if (rule) layer->rule = rule;
            }
        }
        graph = known.training(false);
        other = apart.training(false);
    }
    static std::array<Layer*, 2> layersOf(const network::Network& net) {
        return {static_cast<Layer*>(net.conv.get()), static_cast<Layer*>(net.fc.get())};
    }
    /// One step of both; whether the first one's updates were recognized.
    bool step() {
        const auto x = upload(network::inputs(uint64_t(steps++)));
        bool recognized = false;
        run([&](const MTL::CommandBuffer& commands) {
            graph.encodeBatch(commands, {x}, {labels});
            recognized = areRecognized(commands);
        });
        run([&](const MTL::CommandBuffer& commands) {
            other.encodeBatch(commands, {x}, {otherLabels});
            CHECK(!areRecognized(commands));
        });
        CHECK(lossesOf(labels) == lossesOf(otherLabels));
        for (size_t k = 0; k < 2; ++k) {
            CHECK(layersOf(known)[k]->trained() == layersOf(apart)[k]->trained());
            CHECK(layersOf(known)[k]->trainedBias() == layersOf(apart)[k]->trainedBias());
        }
        return recognized;
    }
    /// For both networks, between two steps.
    void change(const std::function<void(Layer& conv, Layer& fc)>& how) {
        for (const network::Network* net : {&known, &apart})
            how(*layersOf(*net)[0], *layersOf(*net)[1]);
    }

    network::Network known, apart;
    MPS::NNGraph graph, other;
    MPS::StateBatch labels = lossLabels(network::targets(1)),
                    otherLabels = lossLabels(network::targets(1));
    int steps = 0;
};

} // namespace

TEST_CASE("updates are recognized from the second step on, with the numbers of each") {
    Twins twins;
    CHECK(!twins.step());
    CHECK(twins.step());
    for (const float rate : {.1f, .02f, .02f}) {
        twins.change([&](Layer& conv, Layer& fc) {
            conv.descent.setLearningRate(rate);
            fc.descent.setLearningRate(rate);
        });
        CHECK(twins.step());
    }
    // Now they cannot share a dispatch any more.
    twins.change([](Layer&, Layer& fc) { fc.descent.setLearningRate(.3f); });
    CHECK(!twins.step());
    CHECK(!twins.step());
    CHECK(twins.step());
    CHECK(twins.step());
}

TEST_CASE("Adam's rates go on where its updates are recognized") {
    std::map<Layer*, std::pair<MPS::NNOptimizerAdam, std::vector<MPS::Vector>>> of;
    Twins twins([&](Layer& layer, const MTL::CommandBuffer& commands,
                    const Layer::Gradient& gradient) {
        auto& [optimizer, velocities] =
            of.try_emplace(&layer, MPS::NNOptimizerAdam(testDevice(), 0.01f), layer.newMoments())
                .first->second;
        optimizer.encode(commands, gradient, layer.master, layer.momenta, velocities, layer.master);
    });
    CHECK(!twins.step());
    for (int i = 0; i < 4; ++i) CHECK(twins.step());
}

TEST_CASE("an update is another one with another optimizer, other vectors, or none at all") {
    Twins twins;
    const auto settle = [&] {
        CHECK(!twins.step()); // something is different
        twins.step();
        CHECK(twins.step());
    };
    settle();
    SECTION("another optimizer with the same operands") {
        twins.change([](Layer&, Layer& fc) {
            for (const MPS::Vector& squares : fc.momenta) // which must not be negative
                squares.write(std::vector<float>(squares.length()));
            fc.rule = [rms = std::make_shared<MPS::NNOptimizerRMSProp>(testDevice(), .01f)](
                          Layer& layer, const MTL::CommandBuffer& commands,
                          const Layer::Gradient& gradient) {
                rms->encode(commands, gradient, layer.master, layer.momenta, layer.master);
            };
        });
    }
    SECTION("other vectors, perhaps where the old ones were") {
        twins.change([](Layer& conv, Layer& fc) {
            for (Layer* layer : {&conv, &fc}) {
                layer->momenta.clear();
                layer->momenta = layer->newMoments();
            }
        });
    }
    SECTION("the vectors of the biases are left out") {
        twins.change([](Layer&, Layer& fc) { fc.momenta.resize(1); });
    }
    SECTION("no momentum") {
        twins.change([](Layer& conv, Layer&) { conv.momenta.clear(); });
    }
    SECTION("the last layer stays as it is") {
        twins.change([](Layer& conv, Layer&) { conv.rule = [](auto&&...) {}; });
    }
    SECTION("the first layer stays as it is") {
        twins.change([](Layer&, Layer& fc) { fc.rule = [](auto&&...) {}; });
    }
    SECTION("two updates instead of one") {
        twins.change([](Layer& conv, Layer&) {
            conv.rule = [](Layer& layer, const MTL::CommandBuffer& commands,
                           const Layer::Gradient& gradient) {
                layer.descend(commands, gradient);
                layer.descend(commands, gradient);
            };
        });
    }
    SECTION("other weights") {
        twins.change([](Layer& conv, Layer&) {
            conv.master = {bufferOf(conv.w), bufferOf(conv.b)};
        });
    }
    settle();
}

TEST_CASE("another vector of the same memory is as good") {
    Twins twins(
        [](Layer& layer, const MTL::CommandBuffer& commands, const Layer::Gradient& gradient) {
            const auto vectorOf = [](const MTL::Buffer& buffer) {
                return MPS::Vector(buffer, MPS::VectorDescriptor(buffer.length() / sizeof(float),
                                                                 MPS::DataType::Float32));
            };
            const MPS::Vector values = vectorOf(layer.master.weights());
            layer.descent.encode(commands, vectorOf(gradient.gradientForWeights()), values,
                                 layer.momenta[0], values);
        });
    CHECK(!twins.step());
    for (int i = 0; i < 3; ++i) CHECK(twins.step());
    // Half of it is not.
    twins.change([](Layer&, Layer& fc) {
        fc.rule = [](Layer& layer, const MTL::CommandBuffer& commands,
                     const Layer::Gradient& gradient) {
            const MPS::VectorDescriptor half(layer.w.size() / 2, MPS::DataType::Float32);
            const MPS::Vector values(layer.master.weights(), half);
            layer.descent.encode(commands, MPS::Vector(gradient.gradientForWeights(), half), values,
                                 MPS::Vector(), values);
        };
    });
    CHECK(!twins.step());
    twins.step();
    CHECK(twins.step());
}

TEST_CASE("what else an update encodes comes behind the updates before it") {
    std::map<Layer*, MTL::Buffer> copies;
    Twins twins;
    twins.step();
    CHECK(twins.step());
    const bool inEach = GENERATE(false, true);
    for (int step = 0; step < 12; ++step) {
        INFO("step " << step);
        const bool copiesNow = inEach || step % 3 == 1;
        twins.change([&](Layer& conv, Layer& fc) {
            for (Layer* layer : {&conv, &fc})
                layer->rule = [&copies, copiesNow](Layer& self, const MTL::CommandBuffer& commands,
                                                   const Layer::Gradient& gradient) {
                    self.descend(commands, gradient);
                    if (!copiesNow) return;
                    const MTL::Buffer from = self.master.weights();
                    copies[&self] = testDevice().newBuffer(from.length());
                    const auto blit = commands.blitCommandEncoder();
                    blit.copyFromBuffer(from, 0, copies[&self], 0, from.length());
                    blit.endEncoding();
                };
        });
        CHECK((!copiesNow || !twins.step()));
        if (!copiesNow) twins.step();
        for (const auto& [layer, copy] : copies)
            if (copiesNow) CHECK(network::contents(copy) == layer->trained());
    }
}

TEST_CASE("what does not fit is refused among recognized updates, and nothing changes") {
    Twins twins;
    for (int i = 0; i < 3; ++i) twins.step();
    Layer& fc = *Twins::layersOf(twins.known)[1];
    Layer& conv = *Twins::layersOf(twins.known)[0];
    const auto kept = fc.momenta;
    const auto before = fc.trained();
    const MPS::Vector wrong(testDevice(), MPS::VectorDescriptor(3, MPS::DataType::Float32));
    const auto x = upload(network::inputs(9));
    for (Layer* layer : {&fc, &conv}) {
        const auto good = layer->momenta;
        layer->momenta = {wrong};
        run([&](const MTL::CommandBuffer& commands) {
            CHECK_THROWS_AS(twins.graph.encodeBatch(commands, {x}, {twins.labels}),
                            InvalidArgument);
        });
        layer->momenta = good;
    }
    CHECK(fc.trained() == before);
    for (int i = 0; i < 3; ++i) twins.step();
    CHECK(twins.step());
}

TEST_CASE("what was refused is not remembered, though its data source goes on") {
    const bool retries = GENERATE(true, false);
    Twins twins([=](Layer& layer, const MTL::CommandBuffer& commands, const auto& gradient) {
        const MPS::Vector small(bufferOf({0}), MPS::VectorDescriptor(1, MPS::DataType::Float32));
        CHECK_THROWS_AS(
            layer.descent.encode(commands, gradient, layer.master, {small, small}, layer.master),
            InvalidArgument);
        if (retries) layer.descend(commands, gradient);
    });
    for (int step = 0; step < 4; ++step) CHECK(!twins.step());
}

TEST_CASE("steps without updates, between those with them, change nothing") {
    Twins twins;
    twins.change([](Layer& conv, Layer& fc) { conv.period = fc.period = 2; });
    for (int step = 0; step < 3; ++step) CHECK(!twins.step());
    CHECK(twins.step());
    CHECK(!twins.step());
    CHECK(twins.step());
}

TEST_CASE("what is recognized is not kept alive") {
    Twins twins;
    for (int i = 0; i < 3; ++i) twins.step();
    Layer& fc = *Twins::layersOf(twins.known)[1];
    const std::weak_ptr<detail::ObjectImpl> vector = fc.momenta[0].shared(),
                                            state = fc.master.shared();
    const std::weak_ptr<vk::Buffer> memory = fc.momenta[0].impl().slice().buffer;
    fc.momenta = {};
    fc.master = {};
    CHECK(vector.expired());
    CHECK(state.expired());
    CHECK(memory.expired());
}

TEST_CASE("steps in one command buffer, and steps that wait, are recognized alike") {
    Twins twins;
    twins.step();
    const auto x = upload(network::inputs(5));
    for (auto* graph : {&twins.graph, &twins.other})
        run([&](const MTL::CommandBuffer& commands) {
            for (int i = 0; i < 3; ++i)
                graph->encodeBatch(commands, {x},
                                   {graph == &twins.graph ? twins.labels : twins.otherLabels});
        });
    CHECK(twins.step());
    // Several under way.
    for (auto* graph : {&twins.graph, &twins.other}) {
        const auto queue = testDevice().newCommandQueue();
        MTL::CommandBuffer last;
        for (int i = 0; i < 4; ++i) {
            last = queue.commandBuffer();
            graph->encodeBatch(last, {x},
                               {graph == &twins.graph ? twins.labels : twins.otherLabels});
            last.commit();
        }
        last.waitUntilCompleted();
    }
    twins.step();
    twins.step();
    CHECK(twins.step());
}

TEST_CASE("an optimizer that is to be heard of is not recognized") {
    Twins twins;
    for (int i = 0; i < 2; ++i) twins.step();
    twins.change(
        [](Layer&, Layer& fc) { fc.descent.setOptions(MPS::KernelOptions::InsertDebugGroups); });
    for (int i = 0; i < 3; ++i) CHECK(!twins.step());
    twins.change([](Layer&, Layer& fc) { fc.descent.setOptions(MPS::KernelOptions::None); });
    twins.step();
    CHECK(twins.step());
}

namespace {

/// Trained by gradient descent, and with running averages of the statistics.
struct Normalization : FixedNormalization {
    explicit Normalization(bool isApart)
        : FixedNormalization(4), isApart(isApart),
          trained(bufferOf({1, 1, 1, 1}), bufferOf({0, 0, 0, 0})) {
        ownEpsilon = 1e-5f;
        for (auto* pair : {&momenta, &averages})
            for (int i = 0; i < 2; ++i) pair->push_back(vectorOf(bufferOf({0, 0, 0, 0})));
    }
    static MPS::Vector vectorOf(const MTL::Buffer& buffer) {
        return MPS::Vector(buffer, MPS::VectorDescriptor(4, MPS::DataType::Float32));
    }
    using CNNBatchNormalizationDataSource::updateGammaAndBeta;
    using CNNBatchNormalizationDataSource::updateMeanAndVariance;
    MPS::CNNNormalizationGammaAndBetaState
    updateGammaAndBeta(MTL::CommandBuffer commands,
                       MPS::CNNBatchNormalizationState state) override {
        if (resets) state.reset();
        descent.encode(commands, state, momenta, trained);
        if (isApart) commands.impl().recordDeferred();
        return trained;
    }
    MPS::CNNNormalizationMeanAndVarianceState
    updateMeanAndVariance(MTL::CommandBuffer commands,
                          MPS::CNNBatchNormalizationState state) override {
        average.encode(commands, vectorOf(state.mean()), averages[0], {}, averages[0]);
        average.encode(commands, vectorOf(state.variance()), averages[1], {}, averages[1]);
        return {};
    }
    std::vector<double> all() const {
        std::vector<double> values;
        for (const MTL::Buffer& buffer :
             {trained.gamma(), trained.beta(), momenta[0].data(), momenta[1].data(),
              averages[0].data(), averages[1].data()})
            std::ranges::copy(network::contents(buffer), std::back_inserter(values));
        return values;
    }

    const bool isApart;
    bool resets = false;
    MPS::NNOptimizerStochasticGradientDescent descent{
        testDevice(), .9f, false,
        MPS::NNOptimizerDescriptor(.05f, 1, MPS::NNRegularizationType::None, 0)};
    MPS::NNOptimizerStochasticGradientDescent average{
        testDevice(), 0, false,
        MPS::NNOptimizerDescriptor(-.1f, 1, MPS::NNRegularizationType::L2, -1)};
    MPS::CNNNormalizationGammaAndBetaState trained;
    std::vector<MPS::Vector> momenta, averages;
};

MPS::NNGraph trainingOf(const std::shared_ptr<Layer>& conv,
                        const std::shared_ptr<Normalization>& normalization) {
    const MPS::CNNConvolutionNode first(MPS::NNImageNode(), conv);
    const MPS::CNNBatchNormalizationNode second(first.resultImage(), normalization);
    const MPS::CNNLossNode loss(second.resultImage(),
                                {MPS::CNNLossType::MeanSquaredError, MPS::CNNReductionType::Sum});
    const MPS::NNGraph graph(testDevice(), loss.trainingGraph(std::nullopt, {}).at(0).resultImage(),
                             false);
    graph.setFormat(MPS::ImageFeatureChannelFormat::Float32);
    return graph;
}

} // namespace

TEST_CASE("a normalization's updates are recognized, unless its state was reset") {
    const auto conv = std::make_shared<Layer>(3, 3, 4, 1),
               otherConv = std::make_shared<Layer>(3, 3, 4, 1);
    const auto known = std::make_shared<Normalization>(false),
               apart = std::make_shared<Normalization>(true);
    otherConv->isApart = true;
    const MPS::NNGraph graph = trainingOf(conv, known), other = trainingOf(otherConv, apart);
    const auto targets = reference::random(4, 6, 6, 4, 1, -.5, .5);
    const auto labels = lossLabels(targets), otherLabels = lossLabels(targets);
    const auto step = [&](uint64_t seed) {
        const auto x = upload(network::inputs(seed));
        run([&](const MTL::CommandBuffer& commands) {
            graph.encodeBatch(commands, {x}, {labels});
            CHECK(areRecognized(commands) == (seed % 4 > 0));
        });
        run([&](const MTL::CommandBuffer& commands) {
            other.encodeBatch(commands, {x}, {otherLabels});
        });
        CHECK(known->all() == apart->all());
        CHECK(conv->trained() == otherConv->trained());
    };
    for (uint64_t seed = 0; seed < 4; ++seed) step(seed);
    known->resets = true;
    const auto before = known->all();
    run([&](const MTL::CommandBuffer& commands) {
        CHECK_THROWS_AS(graph.encodeBatch(commands, {upload(network::inputs(1))}, {labels}),
                        InvalidArgument);
    });
    CHECK(known->all() == before);
}
