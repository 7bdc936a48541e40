// Networks in training: their losses fall, and two runs agree to the bit.
#include "TrainingStep.hpp"

#include "Operands.hpp"

#include <mpsvk/Error.hpp>
#include <mpsvk/MPS/CNNLoss.hpp>
#include <mpsvk/MTL/Device.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <cmath>

using namespace mpsvk;
using namespace mpsvk::bench;
using Catch::Matchers::ContainsSubstring;

namespace {

Case small(const std::string& network, const std::string& mode) {
    Case made{Group::TrainingStep, "train_" + network, "step", mode};
    made.network = network;
    made.n = 4;
    made.h = made.w = network == "lenet" ? 28 : 64; // four pixels are left for the last statistics
    made.ci = made.co = network == "lenet" ? 1 : 3;
    return made;
}

/// What the loss is before each of `steps` steps.
std::vector<float> losses(const Case& given, int steps) {
    const MTL::CommandQueue queue = MTL::CreateSystemDefaultDevice().newCommandQueue();
    const Training training = makeTraining(queue, given);
    std::vector<float> made;
    for (int i = 0; i < steps; ++i) {
        run(queue, [&](const MTL::CommandBuffer& commands) { training.encode(commands); });
        float sum = 0;
        for (const MPS::State& state : training.labels.at(0)) {
            float loss = 0;
            state.as<MPS::CNNLossLabels>().lossImage().read(std::span(&loss, 1));
            sum += loss;
        }
        made.push_back(sum);
    }
    return made;
}

void falls(const std::vector<float>& each) {
    CAPTURE(each);
    for (const float loss : each) CHECK(std::isfinite(loss));
    CHECK(each.front() > 0);
    CHECK(each.back() < 0.9f * each.front());
}

} // namespace

TEST_CASE("LeNet learns its labels by heart") {
    for (const char* mode : {"fp32", "fp16"}) falls(losses(small("lenet", mode), 3));
}

TEST_CASE("ResNet-18 learns its labels by heart, each time to the same bits") {
    const std::vector<float> each = losses(small("resnet18", "fp32"), 3);
    falls(each);
    CHECK(losses(small("resnet18", "fp32"), 3) == each);
}

TEST_CASE("ResNet-50 learns its labels by heart, in halves") {
    falls(losses(small("resnet50", "fp16"), 3));
}

TEST_CASE("a network of another name is refused") {
    const MTL::CommandQueue queue = MTL::CreateSystemDefaultDevice().newCommandQueue();
    CHECK_THROWS_AS(makeTraining(queue, small("alexnet", "fp32")), FormatError);
}
