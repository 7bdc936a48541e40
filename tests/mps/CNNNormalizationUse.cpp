// How normalizations are configured, placed and sized, and what they refuse.
#include "mps/LocalNormalizationKernels.hpp"
#include "support/EveryKernel.hpp"

#include <catch2/catch_test_macros.hpp>

using namespace mpsvk;
using namespace mpsvk::test;

namespace {

const NormalizationType types[] = {NormalizationType::Spatial, NormalizationType::LocalContrast,
                                   NormalizationType::CrossChannel};

Normalization some(NormalizationType type) { return {type, 3, 2, 1.5, .75, .75, .875, .25, 2}; }

template <class Forward, class Gradient, class... Size> bool everyNormalization(Size... size) {
    const auto made = [=](auto kernel) {
        setValues(kernel, {{}, 1, 1, .5, .25, 2, .75, -1, 3});
        return kernel;
    };
    const auto forward = [=] { return made(Forward(testDevice(), size...)); };
    return everyKernel(forward) &&
           everyGradient([=] { return made(Gradient(testDevice(), size...)); },
                         forwardPass(forward));
}

[[maybe_unused]] const bool each =
    everyNormalization<MPS::CNNSpatialNormalization, MPS::CNNSpatialNormalizationGradient>(3, 5) &&
    everyNormalization<MPS::CNNLocalContrastNormalization,
                       MPS::CNNLocalContrastNormalizationGradient>(7, 8) &&
    everyNormalization<MPS::CNNCrossChannelNormalization,
                       MPS::CNNCrossChannelNormalizationGradient>(3);

} // namespace

TEST_CASE("normalizations start with the documented parameters") {
    const MTL::Device device = testDevice();
    const auto plain = [](const auto& kernel) {
        CHECK(kernel.alpha() == 1);
        CHECK(kernel.beta() == 5);
        CHECK(kernel.delta() == 1);
    };
    plain(MPS::CNNSpatialNormalization(device, 3, 3));
    plain(MPS::CNNSpatialNormalizationGradient(device, 3, 3));
    plain(MPS::CNNCrossChannelNormalization(device, 3));
    plain(MPS::CNNCrossChannelNormalizationGradient(device, 3));
    CHECK(MPS::CNNCrossChannelNormalization(device).kernelSize() == 5);
    CHECK(MPS::CNNCrossChannelNormalizationGradient(device).kernelSize() == 5);
    const auto contrast = [](const auto& kernel) {
        CHECK(kernel.alpha() == 0);
        CHECK(kernel.beta() == .5f);
        CHECK(kernel.delta() == 1.f / 1024);
        CHECK(kernel.p0() == 1);
        CHECK(kernel.pm() == 0);
        CHECK(kernel.ps() == 1);
    };
    contrast(MPS::CNNLocalContrastNormalization(device, 3, 5));
    contrast(MPS::CNNLocalContrastNormalizationGradient(device, 3, 5));
    CHECK(MPS::CNNLocalContrastNormalization(device, 3, 5).kernelHeight() == 5);
}

TEST_CASE("clip rectangles, channel ranges and both offsets place a normalization") {
    const Tensor x = reference::random(2, 7, 8, 12, 5, -2, 2),
                 before = reference::random(2, 6, 5, 16, 6);
    for (const NormalizationType type : types) {
        INFO("type " << int(type));
        Normalization k = some(type);
        k.offsetX = 1, k.offsetY = 2, k.outputWidth = 3, k.outputHeight = 2;
        const KernelPair pair = pairOf(k, false);
        pair.forward->setClipRect({{2, 3, 0}, {3, 2, 1}});
        pair.forward->setSourceFeatureChannelOffset(4);
        pair.forward->setSourceFeatureChannelMaxCount(5);
        pair.forward->setDestinationFeatureChannelOffset(8);
        pair.gradient->setDestinationImageAllocator(MPS::Image::defaultAllocator());
        const auto byHand = std::move(pairOf(k, true).gradient);
        byHand->setPrimarySourceFeatureChannelOffset(8);
        byHand->setSecondarySourceFeatureChannelOffset(4);
        byHand->setSecondarySourceFeatureChannelMaxCount(4);
        byHand->setDestinationFeatureChannelOffset(4);
        // Gradient pixel (2, 3) is centred on source pixel (1, 2); the results of three columns and
        // four rows of source pixels, from (2, 1) on, go to (4, 0).
        byHand->setPrimaryOffset({3, 2, 0});
        byHand->setSecondaryOffset({2, 1, 0});
        byHand->setClipRect({{4, 0, 0}, {3, 4, 1}});
        const auto source = upload(x), y = upload(before),
                   g = upload(reference::randomLike(before, 7)),
                   placed = upload(Tensor(2, 7, 8, 8, 9.0));
        MPS::ImageBatch dx;
        run([&](const MTL::CommandBuffer& commands) {
            const auto states = pair.forward->resultStateBatch(source, {}, y);
            pair.forward->encodeBatch(commands, source, states, y);
            dx = pair.gradient->encodeBatch(commands, g, source, states);
            static_cast<MPS::CNNBinaryKernel&>(*byHand).encodeBatch(commands, g, source, placed);
        });
        const Tensor part = reference::channels(x, 4, 5);
        Tensor expected = before, actual = download(y);
        reference::paste(expected, {2, 3}, 8, forward(k, part));
        for (size_t n = 0; n < 2; ++n) // the lanes after the last channel belong to its slice
            for (size_t i = 3; i < 5; ++i)
                for (size_t j = 2; j < 5; ++j)
                    for (size_t c = 13; c < 16; ++c)
                        actual.at(n, i, j, c) = expected.at(n, i, j, c);
        CHECK(reference::compare(actual, expected));
        const Tensor incoming = download(g);
        CHECK(pair.gradient->secondaryOffset() == MPS::Offset{0, 0, 0});
        CHECK(pair.gradient->primaryOffset() == MPS::Offset{1, 1, 0});
        CHECK(pair.gradient->primarySourceFeatureChannelOffset() == 8);
        const Tensor used = reference::channels(reference::crop(incoming, {2, 3, 3, 2}), 8, 5);
        CHECK(reference::compare(download(dx), reference::gradient(k, used, part)));

        // Without a state every gradient pixel counts.
        k.offsetX = -1, k.offsetY = -1, k.outputWidth = 5, k.outputHeight = 6;
        const Tensor whole = reference::gradient(k, reference::channels(incoming, 8, 4),
                                                 reference::channels(x, 4, 4));
        Tensor wanted(2, 7, 8, 8, 9.0);
        reference::paste(wanted, {4, 0}, 4, reference::crop(whole, {2, 1, 3, 4}));
        CHECK(reference::compare(download(placed), wanted));
    }
}

TEST_CASE("an array of images is normalized from and to the images that the kernel names") {
    MPS::ImageDescriptor d(MPS::ImageFeatureChannelFormat::Float32, 6, 4, 7, 5);
    const auto layout = MPS::DataLayout::HeightxWidthxFeatureChannels;
    const Tensor source = reference::random(5, 4, 6, 7, 8, -2, 2),
                 incoming = reference::randomLike(source, 9);
    for (const NormalizationType type : types) {
        INFO("type " << int(type));
        const MPS::Image x(testDevice(), d), dx(testDevice(), d), y(testDevice(), d),
            g(testDevice(), d);
        for (size_t i = 0; i < 5; ++i) {
            x.write(reference::image(source, i).floats(), layout, i);
            g.write(reference::image(incoming, i).floats(), layout, i);
        }
        Normalization k = some(type);
        k.outputWidth = 6, k.outputHeight = 4;
        const KernelPair pair = pairOf(k, true);
        pair.forward->setOffset({0, 0, 2});
        pair.forward->setClipRect({{0, 0, 1}, {UINT64_MAX, UINT64_MAX, 3}});
        pair.gradient->setPrimaryOffset({0, 0, 1});
        pair.gradient->setSecondaryOffset({0, 0, 2});
        pair.gradient->setClipRect({{0, 0, 2}, {UINT64_MAX, UINT64_MAX, 3}});
        run([&](const MTL::CommandBuffer& commands) {
            const MPS::State state = pair.forward->resultState(x, {}, y);
            pair.forward->encode(commands, x, state, y);
            pair.gradient->encode(commands, g, x, state, dx);
        });
        for (size_t i = 0; i < 3; ++i) {
            std::vector<float> result(168), slope(168);
            y.read(result, layout, 1 + i);
            dx.read(slope, layout, 2 + i);
            const Tensor one = reference::image(source, 2 + i);
            CHECK(reference::compare(reference::fromFloats(1, 4, 6, 7, result), forward(k, one)));
            CHECK(
                reference::compare(reference::fromFloats(1, 4, 6, 7, slope),
                                   reference::gradient(k, reference::image(incoming, 1 + i), one)));
        }
    }
}

TEST_CASE("the padding policy sizes a normalization, and the state brings its parameters") {
    const Tensor x = reference::random(3, 7, 5, 4, 10, -2, 2);
    Normalization k{NormalizationType::LocalContrast, 3, 4, 2, .75, .5, .5, 1, 3};
    const KernelPair pair = pairOf(k, false);
    pair.forward->setPadding(MPS::NNDefaultPadding::padding(MPS::NNPaddingMethod::SizeValidOnly));
    pair.gradient->setDestinationImageAllocator(MPS::Image::defaultAllocator());
    const auto source = upload(x);
    MPS::ImageBatch y, dx;
    MPS::StateBatch states;
    run([&](const MTL::CommandBuffer& commands) {
        y = pair.forward->encodeBatch(commands, source, &states, true);
        CHECK(y[0].width() == 3);
        CHECK(y[0].height() == 4);
        CHECK(pair.forward->offset() == MPS::Offset{1, 2, 0});
        dx = pair.gradient->encodeBatch(commands, y, source, states);
    });
    k.offsetX = 1, k.offsetY = 2, k.outputWidth = 3, k.outputHeight = 4;
    CHECK(reference::compare(download(dx), reference::gradient(k, forward(k, x), x)));
    const auto& taken = dynamic_cast<MPS::CNNLocalContrastNormalizationGradient&>(*pair.gradient);
    CHECK(taken.alpha() == 2);
    CHECK(taken.beta() == .75f);
    CHECK(taken.delta() == .5f);
    CHECK(taken.p0() == .5f);
    CHECK(taken.pm() == 1);
    CHECK(taken.ps() == 3);
}

TEST_CASE("local normalizations refuse what cannot be") {
    const MTL::Device device = testDevice();
    CHECK(refusal([&] { MPS::CNNSpatialNormalization(device, 3, 0); }) ==
          "[CNNSpatialNormalization] The window is 3x0, its stride 1x1 and its dilation 1x1, but "
          "each must be at least 1.");
    CHECK(refusal([&] {
              MPS::CNNLocalContrastNormalizationGradient(device, 0, 3);
          }).starts_with("[CNNLocalContrastNormalizationGradient] The window is 0x3"));
    CHECK(refusal([&] { MPS::CNNCrossChannelNormalization(device, 0); }) ==
          "[CNNCrossChannelNormalization] kernelSize is 0 but must be at least 1.");
    CHECK(refusal([&] { MPS::CNNCrossChannelNormalizationGradient(device, 0); }) ==
          "[CNNCrossChannelNormalizationGradient] kernelSize is 0 but must be at least 1.");

    const auto x = upload(reference::random(2, 4, 5, 3, 1)), y = upload(Tensor(2, 4, 5, 3));
    const auto smaller = upload(Tensor(2, 4, 4, 3));
    const MTL::CommandBuffer commands = testQueue().commandBuffer();
    MPS::CNNSpatialNormalization spatial(device, 3, 3);
    spatial.setLabel("s");
    spatial.setAlpha(-1);
    CHECK(refusal([&] { spatial.encodeBatch(commands, x, y); }) ==
          "[CNNSpatialNormalization \"s\"] alpha is -1.000000 but must be at least 0.");
    spatial.setAlpha(1);
    spatial.setEdgeMode(MPS::ImageEdgeMode::Mirror);
    CHECK(refusal([&] { spatial.encodeBatch(commands, x, y); }) ==
          "[CNNSpatialNormalization \"s\"] edgeMode is Mirror but only Zero and Clamp are known to "
          "this kernel.");
    spatial.setEdgeMode(MPS::ImageEdgeMode::Zero);
    spatial.setOffset({int64_t(1) << 40, 0, 0});
    CHECK(refusal([&] {
              spatial.encodeBatch(commands, x, y);
          }).ends_with("reach further than 2^30 pixels."));
    spatial.setOffset({});
    const auto states = spatial.resultStateBatch(x, {}, y);
    CHECK(refusal([&] { spatial.encodeBatch(commands, x, states, smaller); }) ==
          "[CNNSpatialNormalization \"s\"] The destination state was made for results of 5x4 with "
          "3 feature channels but this encode writes 4x4 with 3.");
    MPS::CNNCrossChannelNormalization cross(device, 3);
    CHECK(refusal([&] { cross.encodeBatch(commands, x, states, y); }) ==
          "[CNNCrossChannelNormalization] destinationStates has a state that was made by a "
          "CNNSpatialNormalization but this kernel takes its own.");

    MPS::CNNSpatialNormalizationGradient gradient(device, 3, 3);
    CHECK(refusal([&] { gradient.encodeBatch(commands, smaller, x, states); }) ==
          "[CNNSpatialNormalizationGradient] sourceGradient is 4x4 but the normalized 5x4 "
          "sourceImage gives 5x4.");
    CHECK(refusal([&] { gradient.encodeBatch(commands, y, smaller, states); }) ==
          "[CNNSpatialNormalizationGradient] sourceImage is 4x4 but the forward source of the "
          "gradient state was 5x4.");
    const auto dx = upload(Tensor(2, 4, 5, 3));
    CHECK(refusal([&] {
              MPS::CNNSpatialNormalizationGradient(device, 3, 5)
                  .encodeBatch(commands, y, x, states, dx);
          }) == "[CNNSpatialNormalizationGradient] The gradient state's window is 3x3 but this "
                "kernel's is 3x5.");
    CHECK(refusal([&] {
              MPS::CNNLocalContrastNormalizationGradient(device, 3, 3)
                  .encodeBatch(commands, y, x, states, dx);
          }) == "[CNNLocalContrastNormalizationGradient] gradientState was made by a "
                "CNNSpatialNormalization but this kernel takes those of a "
                "CNNLocalContrastNormalization.");
    const auto crossStates = cross.resultStateBatch(x, {}, y);
    CHECK(refusal([&] {
              MPS::CNNCrossChannelNormalizationGradient(device, 5).encodeBatch(commands, y, x,
                                                                               crossStates);
          }) == "[CNNCrossChannelNormalizationGradient] The gradient state's kernelSize is 3 but "
                "this kernel's is 5.");
    gradient.setSecondaryEdgeMode(MPS::ImageEdgeMode::Constant);
    CHECK(refusal([&] {
              gradient.encodeBatch(commands, y, x, states, dx);
          }).find("secondaryEdgeMode is Constant") != std::string::npos);
    gradient.setSecondaryEdgeMode(MPS::ImageEdgeMode::Zero);
    gradient.setPrimarySourceFeatureChannelMaxCount(2);
    CHECK(refusal([&] { gradient.encodeBatch(commands, y, x, states, dx); }) ==
          "[CNNSpatialNormalizationGradient] sourceGradient gives 2 feature channels but "
          "sourceImage 3.");
}
