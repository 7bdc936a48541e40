// Graphs with batch normalization: statistics, updates on the device and the host, flags.
#include "mps/NNGraphNetwork.hpp"
#include "support/Normalizations.hpp"
#include "support/Optimizers.hpp"

#include <mpsvk/MPS/NNBatchNormalizationNodes.hpp>

#include <catch2/catch_test_macros.hpp>

using namespace mpsvk;
using namespace mpsvk::test;
using network::Source;
using reference::Tensor;

namespace {

using Update = Source::Update;
using State = MPS::CNNBatchNormalizationState;
using GammaAndBeta = MPS::CNNNormalizationGammaAndBetaState;
using MeanAndVariance = MPS::CNNNormalizationMeanAndVarianceState;
constexpr double keep = .75; // of the running averages

/// Gradient descent for gamma and beta, and running averages of the statistics.
struct NormalizationSource : FixedNormalization {
    NormalizationSource(const reference::BatchNormalization& b, Update kind)
        : FixedNormalization(b.gamma, b.beta, b.epsilon), kind(kind) {
        means.assign(channels, 0);
        variances.assign(channels, 1);
        gamma_ = vectorOf(b.gamma);
        beta_ = vectorOf(b.beta);
        mean_ = vectorOf(Values(channels, 0));
        variance_ = vectorOf(Values(channels, 1));
    }
    bool load() override {
        if (kind == Update::Device) {
            gammas = floatsOf(read(gamma_));
            betas = floatsOf(read(beta_));
            means = floatsOf(read(mean_));
            variances = floatsOf(read(variance_));
        }
        return FixedNormalization::load();
    }
    GammaAndBeta updateGammaAndBeta(MTL::CommandBuffer commands, State state) override {
        ++updates;
        if (kind != Update::Device) return {};
        if (!temporaryResults) {
            const GammaAndBeta own(gamma_.data(), beta_.data());
            descent.encode(commands, state, {}, own);
            return own;
        }
        const GammaAndBeta own(gamma_.data(), beta_.data());
        MPS::NNOptimizerStochasticGradientDescent(testDevice(), float(network::rate))
            .encode(commands, state, {}, own);
        const auto made = GammaAndBeta::temporaryState(commands, channels);
        const auto copy = [&](const MPS::Vector& from, const MTL::Buffer& to) {
            const auto blit = commands.blitCommandEncoder();
            blit.copyFromBuffer(from.data(), 0, to, 0, channels * sizeof(float));
            blit.endEncoding();
        };
        copy(gamma_, made.gamma());
        copy(beta_, made.beta());
        return made;
    }
    MeanAndVariance updateMeanAndVariance(MTL::CommandBuffer commands, State state) override {
        if (kind != Update::Device) return {};
        const MPS::VectorDescriptor shape(channels, MPS::DataType::Float32);
        average.encode(commands, MPS::Vector(state.mean(), shape), mean_, MPS::Vector(), mean_);
        average.encode(commands, MPS::Vector(state.variance(), shape), variance_, MPS::Vector(),
                       variance_);
        return {mean_.data(), variance_.data()};
    }
    bool updateGammaAndBeta(State state) override {
        ++updates;
        if (kind != Update::Host) return false;
        const auto dGamma = values(state.gradientForGamma()),
                   dBeta = values(state.gradientForBeta());
        for (size_t c = 0; c < channels; ++c) {
            gammas[c] -= float(network::rate * dGamma[c]);
            betas[c] -= float(network::rate * dBeta[c]);
        }
        return true;
    }
    bool updateMeanAndVariance(State state) override {
        if (kind != Update::Host) return false;
        const auto mean = values(state.mean()), variance = values(state.variance());
        for (size_t c = 0; c < channels; ++c) {
            means[c] += float(1 - keep) * (float(mean[c]) - means[c]);
            variances[c] += float(1 - keep) * (float(variance[c]) - variances[c]);
        }
        return true;
    }

    Update kind;
    bool temporaryResults = false;
    int updates = 0;
    MPS::Vector gamma_, beta_, mean_, variance_;
    MPS::NNOptimizerStochasticGradientDescent descent{testDevice(), float(network::rate)};
    MPS::NNOptimizerStochasticGradientDescent average{
        testDevice(), 0, false,
        MPS::NNOptimizerDescriptor(float(keep - 1), 1, MPS::NNRegularizationType::L2, -1)};
};

/// Convolution, batch normalization, tanh, fully connected, squared error: in doubles.
struct Reference {
    Reference(const Source& conv, const reference::BatchNormalization& normalization,
              const Source& fc)
        : b(normalization), mean(b.gamma.size(), 0), variance(b.gamma.size(), 1) {
        c.inputChannels = 3;
        c.outputChannels = 4;
        c.kernelWidth = c.kernelHeight = 3;
        c.outputWidth = c.outputHeight = 6;
        c.weights = network::doubles(conv.w);
        c.bias = network::doubles(conv.b);
        fcWeights = network::doubles(fc.w);
        fcBias = network::doubles(fc.b);
    }
    Tensor forward(const Tensor& x, bool ofBatch) const {
        const Tensor a = reference::forward(c, x);
        const auto s = ofBatch ? reference::statistics(a) : running();
        const Tensor h = reference::forward(tanH, reference::forward(b, s, a));
        return reference::forward(reference::fullyConnected(h, fcWeights, fcBias), h);
    }
    reference::ChannelStatistics running() const { return {mean, variance}; }
    Tensor step(const Tensor& x, const Tensor& t, bool ofBatch = true, bool trains = true) {
        const Tensor a = reference::forward(c, x);
        const auto s = ofBatch ? reference::statistics(a) : running();
        const Tensor n = reference::forward(b, s, a), h = reference::forward(tanH, n);
        const auto fc = reference::fullyConnected(h, fcWeights, fcBias);
        const Tensor dy =
            reference::fusedGradient(reference::Loss{}, {reference::forward(fc, h), t});
        const Tensor dn = reference::gradient(tanH, reference::dataGradient(fc, dy, h.h, h.w), n);
        const auto d = reference::gradient(b, s, ofBatch, dn, a);
        const Tensor dx = reference::dataGradient(c, d.source, x.h, x.w);
        network::Reference::descend(fcWeights, reference::weightsGradient(fc, dy, h));
        network::Reference::descend(fcBias, reference::biasGradient(dy));
        network::Reference::descend(c.weights, reference::weightsGradient(c, d.source, x));
        network::Reference::descend(c.bias, reference::biasGradient(d.source));
        if (!trains) return dx;
        network::Reference::descend(b.gamma, d.gamma);
        network::Reference::descend(b.beta, d.beta);
        for (size_t k = 0; k < mean.size(); ++k) {
            mean[k] += (1 - keep) * (s.mean[k] - mean[k]);
            variance[k] += (1 - keep) * (s.variance[k] - variance[k]);
        }
        return dx;
    }
    const reference::Neuron tanH{reference::NeuronType::TanH, 1, 1, 0, {}};
    reference::Convolution c;
    reference::BatchNormalization b;
    std::vector<double> fcWeights, fcBias, mean, variance;
};

/// The same in nodes.
struct Network {
    explicit Network(Update update = Update::Device)
        : b(normalization(4)), conv(std::make_shared<Source>(3, 3, 4, 1, update)),
          fc(std::make_shared<Source>(6, 4, 5, 3, update)),
          norm(std::make_shared<NormalizationSource>(b, update)) {}
    MPS::NNFilterNode forward(const MPS::NNImageNode& input) {
        const MPS::CNNConvolutionNode first(input, conv);
        node = MPS::CNNBatchNormalizationNode(first.resultImage(), norm);
        node.setFlags(flags);
        const MPS::CNNNeuronTanHNode tanH(node.resultImage());
        return MPS::CNNFullyConnectedNode(tanH.resultImage(), fc);
    }
    MPS::NNGraph training(bool needed, MPS::NNTrainingStyle style) {
        const MPS::CNNLossNode loss(
            forward(MPS::NNImageNode()).resultImage(),
            {MPS::CNNLossType::MeanSquaredError, MPS::CNNReductionType::Sum});
        const auto termini =
            loss.trainingGraph(std::nullopt, [&](MPS::NNFilterNode gradient, auto, auto, auto) {
                if (gradient.as<MPS::CNNConvolutionGradientNode>())
                    gradient.setTrainingStyle(norm->kind == Update::Host
                                                  ? MPS::NNTrainingStyle::UpdateDeviceCPU
                                                  : MPS::NNTrainingStyle::UpdateDeviceGPU);
                if (gradient.as<MPS::CNNBatchNormalizationGradientNode>())
                    gradient.setTrainingStyle(style);
            });
        return network::Network::finished(
            MPS::NNGraph(testDevice(), termini.at(0).resultImage(), needed));
    }
    MPS::NNGraph inference() {
        return network::Network::finished(
            MPS::NNGraph(testDevice(), forward(MPS::NNImageNode()).resultImage(), true));
    }
    reference::BatchNormalization b;
    std::shared_ptr<Source> conv, fc;
    std::shared_ptr<NormalizationSource> norm;
    MPS::CNNBatchNormalizationFlags flags = MPS::CNNBatchNormalizationFlags::Default;
    MPS::CNNBatchNormalizationNode node;
};

constexpr auto gpu = MPS::NNTrainingStyle::UpdateDeviceGPU,
               cpu = MPS::NNTrainingStyle::UpdateDeviceCPU,
               none = MPS::NNTrainingStyle::UpdateDeviceNone;
const reference::Tolerance near{2e-4, 1e-6}; // a handful of kernels, one after the other

} // namespace

TEST_CASE("encodes made before an update of batch normalization on the host use the old values") {
    Network network(Update::Host);
    network.flags = MPS::CNNBatchNormalizationFlags::CalculateStatisticsNever;
    const auto training = network.training(true, cpu);
    const auto x = upload(network::inputs(1));
    const MTL::CommandBuffer commands[] = {testQueue().commandBuffer(),
                                           testQueue().commandBuffer()};
    MPS::ImageBatch made[2];
    for (int i = 0; i < 2; ++i)
        made[i] = training.encodeBatch(commands[i], {x}, {lossLabels(network::targets(2))});
    for (const MTL::CommandBuffer& each : commands) {
        each.commit();
        each.waitUntilCompleted();
    }
    CHECK(network.norm->updates == 2);
    CHECK(download(made[0]).v == download(made[1]).v);
    // As a graph that is made of what the sources have now.
    const auto fresh = network.training(true, none);
    const auto next = result(training, {x}, {lossLabels(network::targets(2))});
    CHECK(next.v != download(made[0]).v);
    CHECK(result(fresh, {x}, {lossLabels(network::targets(2))}).v == next.v);
}

TEST_CASE("graphs train batch normalization through updates on the device and on the host") {
    for (const Update kind : {Update::Device, Update::Host})
        for (const bool needed : {true, false}) {
            INFO("kind " << int(kind) << " needed " << needed);
            Network network(kind);
            network.norm->temporaryResults = needed;
            Reference reference(*network.conv, network.b, *network.fc);
            const auto graph = network.training(needed, kind == Update::Device ? gpu : cpu);
            for (int step = 0; step < 3; ++step) {
                const Tensor x = network::inputs(10 + uint64_t(step)),
                             t = network::targets(20 + uint64_t(step));
                const Tensor dx = reference.step(x, t);
                MPS::ImageBatch made;
                run([&](const MTL::CommandBuffer& commands) {
                    made = graph.encodeBatch(commands, {upload(x)}, {lossLabels(t)});
                });
                if (needed) CHECK(reference::compare(download(made), dx, near));
                CHECK(network.norm->updates == step + 1);
                CHECK(reference::compare(network.conv->trained(), reference.c.weights, near));
                CHECK(reference::compare(network.fc->trained(), reference.fcWeights, near));
                if (kind == Update::Device) network.norm->load();
                const auto doubles = [](const std::vector<float>& v) {
                    return network::doubles(v);
                };
                CHECK(reference::compare(doubles(network.norm->gammas), reference.b.gamma, near));
                CHECK(reference::compare(doubles(network.norm->betas), reference.b.beta, near));
                CHECK(reference::compare(doubles(network.norm->means), reference.mean, near));
                CHECK(
                    reference::compare(doubles(network.norm->variances), reference.variance, near));
            }
            // Another graph has the running statistics once it reloads, and no statistics of its
            // own.
            const Tensor x = network::inputs(30);
            const auto inference = network.inference();
            inference.reloadFromDataSources();
            CHECK(reference::compare(result(inference, {upload(x)}), reference.forward(x, false),
                                     near));
        }
}

TEST_CASE("training with batch normalization by replay gives the bits of eager training") {
    Network replayed, eager;
    const auto fast = replayed.training(true, gpu), slow = eager.training(true, gpu);
    slow.setDestinationImageAllocator(std::make_shared<PlainAllocator>());
    std::vector<MPS::ImageBatch> a, b;
    MTL::CommandBuffer last;
    const MTL::CommandQueue queue = testDevice().newCommandQueue();
    for (uint64_t step = 0; step < 5; ++step) {
        const Tensor x = network::inputs(40 + step), t = network::targets(50 + step);
        last = queue.commandBuffer();
        a.push_back(fast.encodeBatch(last, {upload(x)}, {lossLabels(t)}));
        b.push_back(slow.encodeBatch(last, {upload(x)}, {lossLabels(t)}));
        last.commit();
    }
    last.waitUntilCompleted();
    CHECK_FALSE(last.error());
    CHECK(fast.debugDescription().find("plan:") != std::string::npos);
    for (size_t step = 0; step < 5; ++step) CHECK(download(a[step]).v == download(b[step]).v);
    CHECK(read(replayed.norm->gamma_) == read(eager.norm->gamma_));
    CHECK(read(replayed.norm->variance_) == read(eager.norm->variance_));
}

TEST_CASE("flags decide about the statistics of a batch normalization node") {
    using enum MPS::CNNBatchNormalizationFlags;
    const Tensor x = network::inputs(10), t = network::targets(20);
    Network always;
    always.flags = CalculateStatisticsAlways;
    Reference reference(*always.conv, always.b, *always.fc);
    CHECK(reference::compare(result(always.inference(), {upload(x)}), reference.forward(x, true),
                             near));
    always.node.setFlags(CalculateStatisticsNever);
    CHECK(always.node.flags() == CalculateStatisticsNever);
    CHECK(reference::compare(
        result(
            network::Network::finished(MPS::NNGraph(testDevice(), always.node.resultImage(), true)),
            {upload(x)}),
        reference::forward(reference.b, reference.running(), reference::forward(reference.c, x)),
        near));

    Network never;
    never.flags = CalculateStatisticsNever;
    const auto graph = never.training(true, none);
    const Tensor dx = reference.step(x, t, false, false);
    MPS::ImageBatch made;
    run([&](const MTL::CommandBuffer& commands) {
        made = graph.encodeBatch(commands, {upload(x)}, {lossLabels(t)});
    });
    CHECK(reference::compare(download(made), dx, near));
    CHECK(never.norm->updates == 0);
    CHECK(reference::compare(never.conv->trained(), reference.c.weights, near));
}

TEST_CASE("an update that returns nothing keeps the parameters, and frees the state") {
    Network network(Update::Nothing);
    Reference reference(*network.conv, network.b, *network.fc);
    const auto graph = network.training(true, gpu);
    const Tensor x = network::inputs(10), t = network::targets(20);
    const Tensor dx = Reference(reference).step(x, t);
    for (int step = 0; step < 2; ++step) {
        MPS::ImageBatch made;
        run([&](const MTL::CommandBuffer& commands) {
            made = graph.encodeBatch(commands, {upload(x)}, {lossLabels(t)});
        });
        CHECK(reference::compare(download(made), dx, near));
        CHECK(network.norm->updates == step + 1);
    }
}

TEST_CASE("a graph takes an array of images, or a temporary batch, through batch normalization") {
    Network network;
    network.flags = MPS::CNNBatchNormalizationFlags::CalculateStatisticsAlways;
    const MPS::CNNBatchNormalizationNode node(MPS::NNImageNode(), network.norm);
    node.setFlags(MPS::CNNBatchNormalizationFlags::CalculateStatisticsAlways);
    const auto graph =
        network::Network::finished(MPS::NNGraph(testDevice(), node.resultImage(), true));
    const Tensor x = reference::random(3, 4, 5, 4, 7);
    const MPS::Image array(
        testDevice(), MPS::ImageDescriptor(MPS::ImageFeatureChannelFormat::Float32, 5, 4, 4, 3));
    for (size_t i = 0; i < 3; ++i)
        array.write(reference::image(x, i).floats(), MPS::DataLayout::HeightxWidthxFeatureChannels,
                    i);
    MPS::Image made;
    MPS::ImageBatch ofTemporaries;
    run([&](const MTL::CommandBuffer& commands) {
        made = graph.encode(commands, {array});
        MPS::CNNNeuron copy(testDevice(), MPS::NNNeuronDescriptor(MPS::CNNNeuronType::None));
        const auto temporary = copy.encodeBatch(commands, upload(x));
        CHECK(graph.readCountForSourceImage(0) == 1);
        ofTemporaries = graph.encodeBatch(commands, {temporary}, {});
        CHECK(temporary[0].as<MPS::TemporaryImage>().readCount() == 0);
    });
    const Tensor want = reference::forward(network.b, reference::statistics(x), x);
    CHECK(reference::compare(download(made.batchRepresentation()), want, near));
    CHECK(reference::compare(download(ofTemporaries), want, near));
}

TEST_CASE("what batch normalization nodes refuse") {
    const MPS::NNImageNode image;
    Network network;
    const MPS::CNNBatchNormalizationNode node(image, network.norm);
    CHECK(refused([&] { MPS::CNNBatchNormalizationNode(image, nullptr); }) ==
          "[CNNBatchNormalizationNode] The data source is null.");
    node.setFlags(MPS::CNNBatchNormalizationFlags::CalculateStatisticsMask);
    CHECK(refused([&] { MPS::NNGraph(testDevice(), node.resultImage(), true); }) ==
          "[CNNBatchNormalizationNode] flags is 3 but must be 0 (automatic), 1 (always) or 2 "
          "(never).");
    const MPS::CNNNeuronTanHNode neuron(image);
    CHECK(refused([&] {
              MPS::CNNBatchNormalizationGradientNode(
                  image, image, neuron.resultState().as<MPS::NNGradientStateNode>());
          }) == "[CNNBatchNormalizationGradientNode] gradientState is not the state of a "
                "CNNBatchNormalizationNode.");
    const MPS::CNNBatchNormalizationNode trunk(image, network.norm);
    trunk.setLabel("trunk");
    const auto twice = [&](MPS::NNTrainingStyle style) {
        trunk.setTrainingStyle(style);
        std::vector<MPS::NNImageNode> ends;
        for (int k = 0; k < 2; ++k) {
            const MPS::CNNLossNode loss(trunk.resultImage(), {MPS::CNNLossType::MeanSquaredError,
                                                              MPS::CNNReductionType::Sum});
            ends.push_back(loss.trainingGraph(std::nullopt, {}).at(0).resultImage());
        }
        return MPS::NNGraph(testDevice(), ends);
    };
    CHECK(refused([&] { twice(gpu); }) ==
          "[CNNBatchNormalizationGradientNode of \"trunk\"] 2 gradient nodes have one gradient "
          "state, which keeps the parameters' gradients of one alone: add the gradients before "
          "them, or train none of them.");
    CHECK_FALSE(twice(none).resultHandle());
    CHECK(node.trainingStyle() == gpu);
    const auto gradient = node.gradientFilter(image);
    CHECK(gradient.as<MPS::CNNBatchNormalizationGradientNode>());
    CHECK_FALSE(gradient.as<MPS::CNNBatchNormalizationNode>());
    CHECK_FALSE(neuron.as<MPS::CNNBatchNormalizationNode>());
}
