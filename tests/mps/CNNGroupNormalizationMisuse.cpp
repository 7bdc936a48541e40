// What instance and group normalizations refuse.
#include "mps/NormalizationKernels.hpp"

#include <catch2/catch_test_macros.hpp>

using namespace mpsvk;
using namespace mpsvk::test;

TEST_CASE("normalizations refuse what cannot be") {
    const MTL::Device device = testDevice();
    GroupNormalization k;
    CHECK(refusal([&] { MPS::CNNInstanceNormalization(device, nullptr); }) ==
          "[CNNInstanceNormalization] The data source is null.");
    CHECK(refusal([&] { MPS::CNNGroupNormalization(device, nullptr); }) ==
          "[CNNGroupNormalization] The data source is null.");
    for (const size_t groups : {0, 4}) {
        k.groups = groups;
        CHECK(refusal([&] {
                  MPS::CNNGroupNormalization(device, std::make_shared<FixedGroups>(6, k));
              }) == "[CNNGroupNormalization \"test parameters\"] The data source's numberOfGroups "
                    "is " +
                        std::to_string(groups) + " but must divide its 6 feature channels.");
    }
    CHECK(refusal([&] {
              MPS::CNNInstanceNormalization(device, std::make_shared<FixedInstances>(0, k));
          }) == "[CNNInstanceNormalization \"test parameters\"] The data source's "
                "numberOfFeatureChannels is 0 but must be at least 1.");
    k.beta.assign(5, 1);
    CHECK(refusal([&] {
              MPS::CNNInstanceNormalization(device, std::make_shared<FixedInstances>(6, k));
          }) == "[CNNInstanceNormalization \"test parameters\"] The data source's beta has 5 "
                "elements but there are 6 feature channels.");

    k = randomNormalization(6, 3, 1e-3, 1);
    auto forward = forwardOf<GroupKind>(k, 6);
    forward.setLabel("norm");
    k.groups = 2;
    const auto other = forwardOf<GroupKind>(k, 6);
    const auto x = upload(Tensor(2, 3, 4, 6)), y = upload(Tensor(2, 3, 4, 6)),
               wide = upload(Tensor(2, 3, 4, 8)), tall = upload(Tensor(2, 4, 4, 6));
    const MTL::CommandBuffer commands = testQueue().commandBuffer();
    CHECK(refusal([&] {
              forward.encodeBatch(commands, wide, wide);
          }).find("A destination image is also a source image") != std::string::npos);
    CHECK(refusal([&] { forward.encodeBatch(commands, wide); }) ==
          "[CNNGroupNormalization \"norm\"] sourceImage gives 8 feature channels but the data "
          "source has gamma and beta for 6.");
    forward.setEdgeMode(MPS::ImageEdgeMode::Mirror);
    CHECK(refusal([&] { forward.encodeBatch(commands, x, y); }) ==
          "[CNNGroupNormalization \"norm\"] edgeMode is Mirror but only Zero and Clamp are known "
          "to this kernel.");
    forward.setEdgeMode(MPS::ImageEdgeMode::Zero);
    const auto states = forward.resultStateBatch(x, {}, y);
    CHECK(refusal([&] {
              auto kernel = other;
              kernel.setLabel("other");
              kernel.encodeBatch(commands, x, states, y);
          }) == "[CNNGroupNormalization \"other\"] The destination state was made for 1 images "
                "with 6 feature channels in 3 groups but this encode has, for each state, 1 with "
                "6 in 2.");
    CHECK(refusal([&] {
              forward.encodeBatch(commands, tall, forward.resultStateBatch(x, {}, y),
                                  upload(Tensor(2, 4, 4, 6)));
          }) ==
          "[CNNGroupNormalization \"norm\"] The destination state was made for a source of "
          "4x3 and a result of 4x3 pixels from (0, 0) on with the offset (0, 0) but this encode "
          "has 4x4 and a result of 4x4 pixels from (0, 0) on with the offset (0, 0).");
    k.groups = 6;
    auto instance = forwardOf<InstanceKind>(k, 6);
    CHECK(refusal([&] { instance.encodeBatch(commands, x, states, y); }) ==
          "[CNNInstanceNormalization \"test parameters\"] destinationStates has a state that was "
          "made by a CNNGroupNormalization but this kernel takes its own.");
    const MTL::Buffer small = device.newBuffer(20), enough = device.newBuffer(24);
    CHECK(refusal([&] { forward.reloadGammaAndBeta(commands, {}); }) ==
          "[CNNGroupNormalization \"norm\"] gammaAndBetaState is an empty state handle.");
    CHECK(refusal([&] {
              forward.reloadGammaAndBeta(commands,
                                         MPS::CNNNormalizationGammaAndBetaState(enough, small));
          }) == "[CNNGroupNormalization \"norm\"] gammaAndBetaState.beta has 20 bytes but 6 "
                "feature channels need 24.");

    MPS::CNNGroupNormalizationGradient gradient(device);
    gradient.setLabel("norm");
    const auto dx = upload(Tensor(2, 3, 4, 6));
    CHECK(refusal([&] { gradient.encodeBatch(commands, y, x, dx); }) ==
          "[CNNGroupNormalizationGradient \"norm\"] The gradient needs the gradient state of the "
          "forward pass.");
    CHECK(refusal([&] {
              gradient.encodeBatch(commands, y, x, instance.resultStateBatch(x, {}, y), dx);
          }) == "[CNNGroupNormalizationGradient \"norm\"] gradientState was made by a "
                "CNNInstanceNormalization but this kernel takes those of a "
                "CNNGroupNormalization.");
    CHECK(refusal([&] { gradient.encodeBatch(commands, y, tall, states, dx); }) ==
          "[CNNGroupNormalizationGradient \"norm\"] sourceImage is 4x4 and gives 6 feature "
          "channels but the forward source of the gradient state was 4x3 and gave 6.");
    CHECK(refusal(
              [&] { gradient.encodeBatch(commands, upload(Tensor(2, 2, 4, 6)), x, states, dx); }) ==
          "[CNNGroupNormalizationGradient \"norm\"] sourceGradient is 4x2 but the forward pass "
          "wrote 4x3 pixels from (0, 0) on.");
    CHECK(refusal([&] {
              const auto foreign = other.resultStateBatch(x, {}, y);
              gradient.encodeBatch(commands, y, x, {states[0], foreign[1]}, dx);
          }) == "[CNNGroupNormalizationGradient \"norm\"] The gradient states of a batch must "
                "come from one forward kernel, with one epsilon and one clip rectangle, but "
                "these do not.");
    const MPS::Image array(device, {MPS::ImageFeatureChannelFormat::Float32, 4, 3, 6, 3}),
        two(device, {MPS::ImageFeatureChannelFormat::Float32, 4, 3, 6, 2});
    const auto ofArray = forward.resultState(array, {}, array);
    CHECK(refusal([&] { gradient.encode(commands, two, two, ofArray, x[0]); }) ==
          "[CNNGroupNormalizationGradient \"norm\"] gradientState was made for 3 images but this "
          "encode has 1 for each state.");
    struct Fixed : MPS::CNNGroupNormalizationDataSource {
        uint64_t numberOfFeatureChannels() const override { return 4; }
        uint64_t numberOfGroups() const override { return 2; }
        std::span<const float> gamma() const override { return {}; }
        std::span<const float> beta() const override { return {}; }
    } fixed;
    CHECK(refusal([&] { fixed.setNumberOfGroups(1); }) ==
          "[CNNGroupNormalizationDataSource] numberOfGroups was set to 1 but this data source's "
          "is fixed to 2.");
}
