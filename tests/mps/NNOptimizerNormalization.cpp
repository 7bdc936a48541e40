// Optimizers of batch normalization states, and the updates of real training loops.
#include "support/Normalizations.hpp"
#include "support/Optimizers.hpp"

#include <catch2/catch_test_macros.hpp>

using namespace mpsvk;
using namespace mpsvk::test;
using reference::Tensor;

namespace {

using State = MPS::CNNBatchNormalizationState;
using GammaAndBeta = MPS::CNNNormalizationGammaAndBetaState;

/// `source` empty: the encodes that take one state.
void encode(OptimizerPair& both, const MTL::CommandBuffer& commands, const State& gradient,
            const State& source, const std::vector<Vectors>& m, const GammaAndBeta& result) {
    const auto call = [&](auto& optimizer, const auto&... moments) {
        if (source)
            optimizer.encode(commands, gradient, source, moments..., result);
        else
            optimizer.encode(commands, gradient, moments..., result);
    };
    switch (both.rule) {
    case Rule::Plain: return call(both.sgd, Vectors{});
    case Rule::Momentum:
    case Rule::Nesterov: return call(both.sgd, m[0]);
    case Rule::RMSProp: return call(both.rmsProp, m[0]);
    case Rule::Adam: return call(both.adam, m[0], m[1]);
    case Rule::AMSGrad: return call(both.adam, m[0], m[1], m[2]);
    }
}

/// A layer whose state has gradients.
struct Trained {
    explicit Trained(size_t channels) : b(normalization(channels)), layer(b) {
        const Tensor x = reference::random(2, 3, 3, channels, 3);
        const auto images = upload(x);
        state = layer.state(images);
        run([&](const MTL::CommandBuffer& commands) {
            layer.statistics.encodeBatch(commands, images, state);
            layer.statisticsGradient.encodeBatch(commands, upload(reference::randomLike(x, 4)),
                                                 images, state);
        });
    }
    reference::BatchNormalization b;
    NormalizationLayer layer;
    State state;
};

} // namespace

TEST_CASE("optimizers of batch normalization states update gamma and beta") {
    for (const Rule rule : rules)
        for (const bool ownSource : {false, true})
            for (const size_t updated : {2, 1}) {
                if (rule == Rule::Plain && updated == 1) continue;
                INFO("rule " << int(rule) << " two states " << ownSource << " vectors " << updated);
                Trained trained(70), other(70);
                other.layer.source->gammas = floatsOf(random(70, 8));
                other.layer.source->betas = floatsOf(random(70, 9));
                other.layer.forward.reloadGammaAndBetaFromDataSource();
                const State source = ownSource ? other.state : State();
                NormalizationLayer& changed = ownSource ? other.layer : trained.layer;
                OptimizerPair both(rule, preparations()[1]);
                Values gamma = values((ownSource ? source : trained.state).gamma()),
                       beta = values((ownSource ? source : trained.state).beta());
                std::vector<Values> mg, mb;
                std::vector<Vectors> moments;
                for (size_t k = 0; k < momentsOf(rule); ++k) {
                    mg.push_back(random(70, 40 + k, 0, 1e-2));
                    mb.push_back(random(70, 50 + k, 0, 1e-2));
                    moments.push_back({vectorOf(mg[k])});
                    if (updated == 2) moments.back().push_back(vectorOf(mb[k]));
                }
                const GuardedFloats newGamma(Values(70, 7), 0), newBeta(Values(70, 7), 0);
                const GammaAndBeta result(newGamma.buffer(), newBeta.buffer());
                run([&](const MTL::CommandBuffer& commands) {
                    for (int step = 0; step < 3; ++step) {
                        encode(both, commands, trained.state, source, moments, result);
                        if (updated == 2) changed.forward.reloadGammaAndBeta(commands, result);
                    }
                    CHECK(rangesOf(commands) == Ranges(3, uint32_t(updated)));
                });
                CHECK(both.adam.timeStep() == (momentsOf(rule) >= 2 ? 3 : 0));
                OptimizerPair betaReference = both;
                const Values dGamma = values(trained.state.gradientForGamma()),
                             dBeta = values(trained.state.gradientForBeta());
                const Values before = gamma;
                for (int step = 0; step < 3; ++step) {
                    if (updated == 1) gamma = before; // nothing was loaded
                    both.step(dGamma, gamma, mg);
                    betaReference.step(dBeta, beta, mb);
                }
                CHECK(reference::compare(newGamma.read(), gamma, tight));
                if (updated == 2)
                    CHECK(reference::compare(newBeta.read(), beta, tight));
                else
                    CHECK(newBeta.read() == Values(70, 7));
                for (size_t k = 0; k < mg.size(); ++k) {
                    CHECK(reference::compare(read(moments[k][0]), mg[k], tight));
                    if (updated == 2) CHECK(reference::compare(read(moments[k][1]), mb[k], tight));
                }
            }
}

TEST_CASE("what optimizers of batch normalization states refuse") {
    Trained trained(4), larger(5);
    const auto bufferOf = [](size_t floats) { return testDevice().newBuffer(floats * 4); };
    const GammaAndBeta result(bufferOf(4), bufferOf(4)), small(bufferOf(4), bufferOf(3));
    MPS::NNOptimizerStochasticGradientDescent sgd(testDevice(), 1);
    MPS::NNOptimizerRMSProp rms(testDevice(), 1);
    const std::string text = "[NNOptimizerStochasticGradientDescent] ";
    const MTL::CommandBuffer commands = testQueue().commandBuffer();
    CHECK(refused([&] { sgd.encode(commands, State{}, {}, result); }) ==
          text + "batchNormalizationState is empty.");
    CHECK(refused([&] { sgd.encode(commands, trained.state, State{}, {}, result); }) ==
          text + "batchNormalizationSourceState is empty.");
    CHECK(refused([&] { sgd.encode(commands, trained.state, {}, GammaAndBeta{}); }) ==
          text + "resultState is empty.");
    CHECK(refused([&] { sgd.encode(commands, larger.state, trained.state, {}, result); }) ==
          text + "batchNormalizationSourceState has 4 gammas but batchNormalizationGradientState "
                 "has gradients for 5.");
    CHECK(refused([&] { sgd.encode(commands, trained.state, {}, small); }) ==
          text + "resultState has 3 betas but batchNormalizationState has gradients for 4.");
    CHECK(
        refused([&] { rms.encode(commands, trained.state, {}, result); }) ==
        "[NNOptimizerRMSProp] inputSumOfSquaresVectors has 0 vectors but needs one for the gammas "
        "and may have a second one for the betas.");
    trained.state.reset();
    CHECK(refused([&] { sgd.encode(commands, trained.state, {}, result); }) ==
          text + "batchNormalizationState has no gradients of gamma and beta: "
                 "CNNBatchNormalizationStatisticsGradient comes first.");
    commands.commit();
}

TEST_CASE("gradient descent with a negative rate and scale keeps running averages") {
    const MTL::Buffer statistic = vectorOf(Values(3, 1)).data();
    const MPS::Vector running = vectorOf(Values(3, 0));
    // r = r + (1 - m) * (statistic - r), m = 0.9.
    MPS::NNOptimizerStochasticGradientDescent average(
        testDevice(), 0, false,
        MPS::NNOptimizerDescriptor(-.1f, 1, MPS::NNRegularizationType::L2, -1));
    for (const double expected : {.1, .19, .271}) {
        run([&](const MTL::CommandBuffer& commands) {
            average.encode(commands,
                           MPS::Vector(statistic, MPS::VectorDescriptor(3, MPS::DataType::Float32)),
                           running, MPS::Vector(), running);
        });
        CHECK(reference::compare(read(running), Values(3, expected), {2e-7}));
    }
}

// The loop of turicreate's activity classifier, around its batch normalization: one state for all
// batches, temporary images, gamma, beta and running statistics in buffers of the data source's.
TEST_CASE("a batch normalization is trained kernel by kernel, several batches in flight") {
    constexpr size_t channels = 6, batches = 4;
    const auto b = normalization(channels);
    NormalizationLayer layer(b);
    layer.gradient.setDestinationImageAllocator(MPS::TemporaryImage::defaultAllocator());
    MPS::CNNNeuron neuron(testDevice(), MPS::NNNeuronDescriptor(MPS::CNNNeuronType::TanH, 1, 1));
    const MPS::VectorDescriptor shape(channels, MPS::DataType::Float32);
    const MPS::Vector gamma = vectorOf(b.gamma), beta = vectorOf(b.beta),
                      mean = vectorOf(Values(channels, 0)),
                      variance = vectorOf(Values(channels, 1));
    const GammaAndBeta own(gamma.data(), beta.data());
    MPS::NNOptimizerStochasticGradientDescent average(
        testDevice(), 0, false,
        MPS::NNOptimizerDescriptor(-.1f, 1, MPS::NNRegularizationType::L2, -1)),
        descent(testDevice(), .9f, false,
                MPS::NNOptimizerDescriptor(.05f, 1, MPS::NNRegularizationType::None, 0));
    const Vectors momenta = {vectorOf(Values(channels, 0)), vectorOf(Values(channels, 0))};

    Tensor x[batches], g[batches];
    State state;
    const MTL::CommandQueue queue = testDevice().newCommandQueue();
    std::vector<MTL::CommandBuffer> inFlight;
    for (size_t k = 0; k < batches; ++k) {
        x[k] = reference::random(3, 1, 20, channels, 80 + k, -2, 2);
        g[k] = reference::randomLike(x[k], 90 + k);
        const MTL::CommandBuffer commands = queue.commandBuffer();
        const auto source = neuron.encodeBatch(commands, upload(x[k]));
        MPS::ImageBatchIncrementReadCount(source, 3);
        const auto y = MPS::TemporaryImage::defaultAllocator()->imageBatch(
            commands, {MPS::ImageFeatureChannelFormat::Float32, 20, 1, channels}, layer.forward, 3);
        if (!state) state = layer.forward.resultState(source[0], {}, y[0]);
        layer.encodeForward(commands, source, state, y);
        MPS::ImageBatchIncrementReadCount(y, -1);
        const auto dx = layer.encodeGradient(commands, upload(g[k]), source, state);
        state.synchronize(commands);
        MPS::ImageBatchIncrementReadCount(dx, -1);
        average.encode(commands, MPS::Vector(state.mean(), shape), mean, MPS::Vector(), mean);
        average.encode(commands, MPS::Vector(state.variance(), shape), variance, MPS::Vector(),
                       variance);
        descent.encode(commands, state, momenta, own);
        layer.forward.reloadGammaAndBeta(commands, own);
        layer.forward.reloadMeanAndVariance(
            commands, MPS::CNNNormalizationMeanAndVarianceState(mean.data(), variance.data()));
        commands.commit();
        inFlight.push_back(commands);
    }
    for (const MTL::CommandBuffer& commands : inFlight) {
        commands.waitUntilCompleted();
        REQUIRE_FALSE(commands.error());
    }

    reference::BatchNormalization want = b;
    Values wantMean(channels, 0), wantVariance(channels, 1), mGamma(channels, 0),
        mBeta(channels, 0);
    const reference::Optimizer o{.learningRate = .05};
    for (size_t k = 0; k < batches; ++k) {
        const Tensor source = reference::forward({reference::NeuronType::TanH, 1, 1}, x[k]);
        const auto s = reference::statistics(source);
        const auto d = reference::gradient(want, s, true, g[k], source);
        for (size_t c = 0; c < channels; ++c) {
            wantMean[c] += .1 * (s.mean[c] - wantMean[c]);
            wantVariance[c] += .1 * (s.variance[c] - wantVariance[c]);
        }
        stochasticGradientDescent(o, .9f, false, d.gamma, want.gamma, &mGamma);
        stochasticGradientDescent(o, .9f, false, d.beta, want.beta, &mBeta);
    }
    CHECK(reference::compare(read(gamma), want.gamma));
    CHECK(reference::compare(read(beta), want.beta));
    CHECK(reference::compare(read(mean), wantMean));
    CHECK(reference::compare(read(variance), wantVariance));
    CHECK(values(state.gamma()) == read(gamma));
    CHECK(values(state.beta()) == read(beta));
}
