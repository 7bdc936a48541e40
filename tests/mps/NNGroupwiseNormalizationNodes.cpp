// Graphs with instance and group normalization: gradients, updates on the device and on the host.
#include "mps/NormalizationKernels.hpp"
#include "support/Graphs.hpp"
#include "support/reference/Loss.hpp"
#include "support/reference/Neuron.hpp"

#include <mpsvk/MPS/NNGroupwiseNormalizationNodes.hpp>
#include <mpsvk/MPS/NNLossNodes.hpp>
#include <mpsvk/MPS/NNNeuronNodes.hpp>
#include <mpsvk/MPS/NNOptimizer.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

using namespace mpsvk;
using namespace mpsvk::test;
using Catch::Matchers::ContainsSubstring;

namespace {

constexpr double rate = 1. / 1024;
enum class Update { Nothing, Device, Host };

/// Plain gradient descent with the gradients of one state after the other.
template <class Kind> struct Trained : Kind::Source {
    Trained(uint64_t channels, const GroupNormalization& k, Update update)
        : Kind::Source(channels, k), update(update), sgd(testDevice(), float(rate)) {
        gammaBuffer = testDevice().newBuffer(std::as_bytes(std::span(this->gammas)));
        betaBuffer = testDevice().newBuffer(std::as_bytes(std::span(this->betas)));
    }
    MPS::Vector vectorOf(const MTL::Buffer& buffer) const {
        return MPS::Vector(buffer, MPS::VectorDescriptor(this->channels, MPS::DataType::Float32));
    }
    MPS::CNNNormalizationGammaAndBetaState updateGammaAndBeta(MTL::CommandBuffer commands,
                                                              MPS::StateBatch states) override {
        updates += int(states.size());
        if (update != Update::Device) return {};
        for (const MPS::State& each : states) {
            const auto state = each.as<typename Kind::State>();
            sgd.encode(commands, vectorOf(state.gradientForGamma()), vectorOf(gammaBuffer),
                       MPS::Vector{}, vectorOf(gammaBuffer));
            sgd.encode(commands, vectorOf(state.gradientForBeta()), vectorOf(betaBuffer),
                       MPS::Vector{}, vectorOf(betaBuffer));
        }
        if (!temporaryResult)
            return MPS::CNNNormalizationGammaAndBetaState(gammaBuffer, betaBuffer);
        const auto made =
            MPS::CNNNormalizationGammaAndBetaState::temporaryState(commands, this->channels);
        const auto blit = commands.blitCommandEncoder();
        blit.copyFromBuffer(gammaBuffer, 0, made.gamma(), 0, gammaBuffer.length());
        blit.copyFromBuffer(betaBuffer, 0, made.beta(), 0, betaBuffer.length());
        blit.endEncoding();
        return made;
    }
    bool updateGammaAndBeta(MPS::StateBatch states) override {
        updates += int(states.size());
        if (update != Update::Host) return false;
        for (const MPS::State& each : states) {
            const auto state = each.as<typename Kind::State>();
            const auto gamma = floatsIn(state.gradientForGamma()),
                       beta = floatsIn(state.gradientForBeta());
            for (size_t c = 0; c < this->channels; ++c) {
                this->gammas[c] -= float(rate * gamma[c]);
                this->betas[c] -= float(rate * beta[c]);
            }
        }
        return true;
    }
    std::vector<double> trainedGamma() const {
        if (update == Update::Device) return floatsIn(gammaBuffer);
        return {this->gammas.begin(), this->gammas.end()};
    }

    Update update;
    MPS::NNOptimizerStochasticGradientDescent sgd;
    MTL::Buffer gammaBuffer, betaBuffer;
    bool temporaryResult = false;
    int updates = 0;
};

using TrainedInstances = Trained<InstanceKind>;
using TrainedGroups = Trained<GroupKind>;

constexpr size_t channels = 6, batch = 3;

/// Instance normalization, tanh, group normalization, squared error.
struct Network {
    explicit Network(Update update)
        : instances(std::make_shared<TrainedInstances>(
              channels, randomNormalization(channels, channels, 1e-3, 1), update)),
          groups(std::make_shared<TrainedGroups>(
              channels, randomNormalization(channels, 2, 1e-3, 3), update)) {}

    MPS::NNGraph training(bool needed, MPS::NNTrainingStyle style) const {
        const MPS::CNNInstanceNormalizationNode first(MPS::NNImageNode(), instances);
        const MPS::CNNNeuronTanHNode tanh(first.resultImage(), 1, 1);
        const MPS::CNNGroupNormalizationNode second(tanh.resultImage(), groups);
        CHECK(first.trainingStyle() == MPS::NNTrainingStyle::UpdateDeviceGPU);
        first.setTrainingStyle(style);
        second.setTrainingStyle(style);
        const MPS::CNNLossNode loss(
            second.resultImage(), {MPS::CNNLossType::MeanSquaredError, MPS::CNNReductionType::Sum});
        const auto termini = loss.trainingGraph(std::nullopt, {});
        REQUIRE(termini.at(0).as<MPS::CNNInstanceNormalizationGradientNode>());
        CHECK(termini.at(0).trainingStyle() == style);
        const MPS::NNGraph graph(testDevice(), termini.at(0).resultImage(), needed);
        graph.setFormat(MPS::ImageFeatureChannelFormat::Float32);
        return graph;
    }

    std::shared_ptr<TrainedInstances> instances;
    std::shared_ptr<TrainedGroups> groups;
};

struct Reference {
    /// The gradient of x with the parameters as they were.
    Tensor step(const Tensor& x, const Tensor& t) {
        const Tensor a = forward(first, x), b = reference::forward(tanh, a);
        const Tensor y = forward(second, b);
        const Tensor dy = reference::fusedGradient(reference::Loss{}, {y, t});
        const auto d2 = gradient(second, dy, b);
        const auto d1 = gradient(first, reference::gradient(tanh, d2.source, a), x);
        descend(second, d2);
        descend(first, d1);
        return d1.source;
    }
    static void descend(GroupNormalization& k, const reference::GroupNormalizationGradient& d) {
        for (size_t i = 0; i < d.gamma.size(); ++i) {
            k.gamma[i % channels] -= rate * d.gamma.v[i];
            k.beta[i % channels] -= rate * d.beta.v[i];
        }
    }
    GroupNormalization first = randomNormalization(channels, channels, 1e-3, 1),
                       second = randomNormalization(channels, 2, 1e-3, 3);
    reference::Neuron tanh{reference::NeuronType::TanH, 1, 1, 0, {}};
};

Tensor inputs(int step) { return reference::random(batch, 4, 5, channels, 50 + step, -1, 1); }
Tensor targets(int step) { return reference::random(batch, 4, 5, channels, 90 + step, -1, 1); }
constexpr reference::Tolerance nearly{5e-5};

} // namespace

TEST_CASE("updates of normalizations on the device: every step equals the reference's") {
    for (const bool needed : {true, false})
        for (const bool temporary : {true, false}) {
            INFO("needed " << needed << ", temporary result " << temporary);
            const Network network(Update::Device);
            network.groups->temporaryResult = network.instances->temporaryResult = temporary;
            const auto graph = network.training(needed, MPS::NNTrainingStyle::UpdateDeviceGPU);
            Reference expected;
            for (int step = 0; step < 4; ++step) {
                INFO("step " << step);
                const Tensor dx = expected.step(inputs(step), targets(step));
                MPS::ImageBatch made;
                run([&](const MTL::CommandBuffer& commands) {
                    made = graph.encodeBatch(commands, {upload(inputs(step))},
                                             {lossLabels(targets(step))});
                });
                if (needed) CHECK(reference::compare(download(made), dx, nearly));
                CHECK(reference::compare(network.instances->trainedGamma(), expected.first.gamma,
                                         nearly));
                CHECK(reference::compare(network.groups->trainedGamma(), expected.second.gamma,
                                         nearly));
                CHECK(reference::compare(floatsIn(network.groups->betaBuffer), expected.second.beta,
                                         nearly));
                CHECK(network.instances->updates == int(batch) * (step + 1));
            }
            CHECK_THAT(graph.debugDescription(), ContainsSubstring("plan:"));
        }
}

TEST_CASE("updates of normalizations on the host come after completion") {
    const Network network(Update::Host);
    const auto graph = network.training(true, MPS::NNTrainingStyle::UpdateDeviceCPU);
    Reference expected;
    for (int step = 0; step < 3; ++step) {
        INFO("step " << step);
        const Tensor dx = expected.step(inputs(step), targets(step));
        CHECK(reference::compare(result(graph, {upload(inputs(step))}, {lossLabels(targets(step))}),
                                 dx, nearly));
        CHECK(reference::compare(network.instances->trainedGamma(), expected.first.gamma, nearly));
        CHECK(reference::compare(network.groups->trainedGamma(), expected.second.gamma, nearly));
    }
}

TEST_CASE("encodes made before an update of normalizations on the host use the old values") {
    const Network network(Update::Host);
    const auto graph = network.training(true, MPS::NNTrainingStyle::UpdateDeviceCPU);
    const MTL::CommandBuffer commands[] = {testQueue().commandBuffer(),
                                           testQueue().commandBuffer()};
    MPS::ImageBatch made[2];
    for (int i = 0; i < 2; ++i)
        made[i] = graph.encodeBatch(commands[i], {upload(inputs(0))}, {lossLabels(targets(0))});
    for (const MTL::CommandBuffer& each : commands) {
        each.commit();
        each.waitUntilCompleted();
    }
    CHECK(download(made[0]).v == download(made[1]).v);
    // As a graph that is made of what the sources have now.
    const auto fresh = network.training(true, MPS::NNTrainingStyle::UpdateDeviceNone);
    const auto next = result(graph, {upload(inputs(1))}, {lossLabels(targets(1))});
    CHECK(result(fresh, {upload(inputs(1))}, {lossLabels(targets(1))}).v == next.v);
}

TEST_CASE("normalizations that are not trained or not changed stay as they are") {
    for (const auto style :
         {MPS::NNTrainingStyle::UpdateDeviceNone, MPS::NNTrainingStyle::UpdateDeviceGPU}) {
        const Network network(Update::Nothing);
        const auto graph = network.training(true, style);
        for (int step = 0; step < 2; ++step) {
            Reference expected;
            CHECK(reference::compare(
                result(graph, {upload(inputs(step))}, {lossLabels(targets(step))}),
                expected.step(inputs(step), targets(step)), nearly));
        }
        CHECK(network.groups->updates ==
              (style == MPS::NNTrainingStyle::UpdateDeviceNone ? 0 : 2 * int(batch)));
    }
}

TEST_CASE("a graph reads the sources of its normalizations again when told so") {
    GroupNormalization k = randomNormalization(channels, channels, 1e-3, 11);
    const auto source = std::make_shared<FixedInstances>(channels, k);
    const MPS::CNNInstanceNormalizationNode node(MPS::NNImageNode(), source);
    const MPS::NNGraph graph(testDevice(), node.resultImage(), true);
    graph.setFormat(MPS::ImageFeatureChannelFormat::Float32);
    CHECK(reference::compare(result(graph, {upload(inputs(1))}), forward(k, inputs(1))));
    k.gamma = randomNormalization(channels, channels, 1e-3, 12).gamma;
    source->gammas.assign(k.gamma.begin(), k.gamma.end());
    graph.reloadFromDataSources(); // another style
    CHECK(reference::compare(result(graph, {upload(inputs(1))}), forward(k, inputs(1))));
    CHECK(source->loads == 2);
    CHECK(source->purges == 2);
}

TEST_CASE("normalization nodes refuse what cannot be") {
    const MPS::NNImageNode input;
    CHECK(refusal([&] { MPS::CNNInstanceNormalizationNode(input, nullptr); }) ==
          "[CNNInstanceNormalizationNode] The data source is null.");
    CHECK(refusal([&] { MPS::CNNGroupNormalizationNode(input, nullptr); }) ==
          "[CNNGroupNormalizationNode] The data source is null.");
    GroupNormalization k;
    k.groups = 4;
    const MPS::CNNGroupNormalizationNode group(input, std::make_shared<FixedGroups>(channels, k));
    const MPS::CNNInstanceNormalizationNode instance(input,
                                                     std::make_shared<FixedInstances>(channels, k));
    const auto state = instance.resultState().as<MPS::NNGradientStateNode>();
    REQUIRE(state);
    CHECK(refusal([&] { MPS::CNNGroupNormalizationGradientNode(input, input, state); }) ==
          "[CNNGroupNormalizationGradientNode] gradientState is not the state of a "
          "CNNGroupNormalizationNode.");
    CHECK(refusal([&] {
              MPS::CNNInstanceNormalizationGradientNode(input, input, MPS::NNGradientStateNode());
          }).starts_with("[CNNInstanceNormalizationGradientNode] "));
    const MPS::NNFilterNode gradient = instance.gradientFilter(input);
    CHECK(gradient.as<MPS::CNNInstanceNormalizationGradientNode>());
    CHECK_FALSE(gradient.as<MPS::CNNGroupNormalizationGradientNode>());
    CHECK_FALSE(instance.as<MPS::CNNGroupNormalizationNode>());
    CHECK_THAT(refusal([&] { MPS::NNGraph(testDevice(), group.resultImage(), true); }),
               ContainsSubstring("numberOfGroups is 4 but must divide its 6 feature channels"));
}
