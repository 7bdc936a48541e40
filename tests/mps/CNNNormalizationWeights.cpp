#include "mps/CNNNormalizationWeights.hpp"
#include "mtl/Device.hpp"
#include "support/Optimizers.hpp"
#include "vk/Instance.hpp"

#include <catch2/catch_test_macros.hpp>

using namespace mpsvk;
using namespace mpsvk::test;

using GammaAndBeta = MPS::CNNNormalizationGammaAndBetaState;
using MeanAndVariance = MPS::CNNNormalizationMeanAndVarianceState;

TEST_CASE("normalization states wrap buffers") {
    const MTL::Buffer a = testDevice().newBuffer(40), b = testDevice().newBuffer(24);
    const GammaAndBeta parameters(a, b);
    CHECK(parameters.gamma() == a);
    CHECK(parameters.beta() == b);
    const MeanAndVariance statistics(a, b);
    CHECK(statistics.mean() == a);
    CHECK(statistics.variance() == b);
    for (const MPS::State& state : {MPS::State(parameters), MPS::State(statistics)}) {
        CHECK(state.resourceCount() == 2);
        CHECK(state.resourceSize() == 0);
        CHECK_FALSE(state.isTemporary());
        CHECK(state.readCount() == 0);
        CHECK(bool(state.as<GammaAndBeta>()) == (state == parameters));
        CHECK(bool(state.as<MeanAndVariance>()) == (state == statistics));
    }
    parameters.impl().checkHolds("", "state", 6);
    CHECK(refused([&] { parameters.impl().checkHolds("[X] ", "gammaAndBetaState", 7); }) ==
          "[X] gammaAndBetaState.beta has 24 bytes but 7 feature channels need 28.");
    CHECK(refused([&] { statistics.impl().checkHolds("[X] ", "meanAndVarianceState", 11); }) ==
          "[X] meanAndVarianceState.mean has 40 bytes but 11 feature channels need 44.");
}

TEST_CASE("temporary normalization states") {
    const MTL::CommandBuffer commands = testQueue().commandBuffer();
    const auto parameters = GammaAndBeta::temporaryState(commands, 5);
    const auto statistics = MeanAndVariance::temporaryState(commands, 5);
    for (const MPS::State& state : {MPS::State(parameters), MPS::State(statistics)}) {
        CHECK(state.isTemporary());
        CHECK(state.readCount() == 1);
        CHECK(state.resourceSize() == 40);
    }
    CHECK(parameters.gamma().length() == 20);
    CHECK(parameters.beta().length() == 20);
    CHECK_FALSE(parameters.gamma() == parameters.beta());
    CHECK(statistics.mean().length() == 20);
    CHECK(statistics.variance().length() == 20);
    parameters.setReadCount(0);
    CHECK(refused([&] { (void)parameters.gamma(); }) ==
          "[State] A resource was asked of a temporary state whose read count is 0.");
    CHECK(refused([&] { GammaAndBeta::temporaryState(commands, 0); }) ==
          "[CNNNormalizationGammaAndBetaState] numberOfFeatureChannels is 0 but must be at least "
          "1.");
    commands.commit();
    commands.waitUntilCompleted();
    CHECK(refused([&] {
              MeanAndVariance::temporaryState(commands, 4);
          }).starts_with("[CNNNormalizationMeanAndVarianceState] "));
}

TEST_CASE("what normalization states refuse to wrap") {
    const MTL::Buffer whole = testDevice().newBuffer(8), small = testDevice().newBuffer(3);
    CHECK(refused([&] { GammaAndBeta(whole, MTL::Buffer()); }) ==
          "[CNNNormalizationGammaAndBetaState] beta is an empty buffer handle.");
    CHECK(refused([&] { MeanAndVariance(small, whole); }) ==
          "[CNNNormalizationMeanAndVarianceState] mean has 3 bytes but a feature channel needs 4.");
    // Another logical device over the same physical one.
    const auto other =
        std::make_shared<MTL::Device::Impl>(vk::Device::create(vk::physicalDevices().front()), 98);
    CHECK(refused([&] {
              GammaAndBeta(whole, other->handle().newBuffer(8));
          }).starts_with("[CNNNormalizationGammaAndBetaState] gamma belongs to the device \""));
}
