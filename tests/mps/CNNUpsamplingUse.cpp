// How upsampling kernels are configured, placed and sized, and what they refuse.
#include "mps/UpsamplingKernels.hpp"
#include "support/EveryKernel.hpp"

#include <catch2/catch_test_macros.hpp>

#include <cmath>

using namespace mpsvk;
using namespace mpsvk::test;

namespace {

[[maybe_unused]] const bool each[] = {
    everyKernel([] { return MPS::CNNUpsamplingNearest(testDevice(), 3, 2); }),
    everyKernel([] { return MPS::CNNUpsamplingBilinear(testDevice(), .4, 2.25, true); }),
    everyGradient([] { return MPS::CNNUpsamplingNearestGradient(testDevice(), 3, 2); },
                  forwardPass([] { return MPS::CNNUpsamplingNearest(testDevice(), 3, 2); })),
    everyGradient(
        [] { return MPS::CNNUpsamplingBilinearGradient(testDevice(), .4, 2.25); },
        forwardPass([] { return MPS::CNNUpsamplingBilinear(testDevice(), .4, 2.25, true); })),
};

} // namespace

TEST_CASE("upsampling sizes its result, and the state brings geometry and corners back") {
    const Tensor x = reference::random(3, 5, 7, 4, 10);
    MPS::CNNUpsamplingBilinear up(testDevice(), 1.5, 2.25, true);
    CHECK(up.scaleFactorX() == 1.5);
    CHECK(up.scaleFactorY() == 2.25);
    CHECK(up.alignCorners());
    MPS::CNNUpsamplingBilinearGradient gradient(testDevice(), 1.5, 2.25);
    gradient.setDestinationImageAllocator(MPS::Image::defaultAllocator());
    const auto source = upload(x);
    MPS::ImageBatch y, dx;
    MPS::StateBatch states;
    run([&](const MTL::CommandBuffer& commands) {
        y = up.encodeBatch(commands, source, &states, true);
        CHECK(y[0].width() == 10);
        CHECK(y[0].height() == 11);
        CHECK(y[0].featureChannels() == 4);
        // Only the size of the forward source counts.
        MPS::ImageBatch sizes;
        for (int i = 0; i < 3; ++i)
            sizes.push_back(
                MPS::TemporaryImage(commands, {MPS::ImageFeatureChannelFormat::Float32, 7, 5, 4}));
        dx = gradient.encodeBatch(commands, y, sizes, states);
        CHECK(dx[0].width() == 7);
        CHECK(dx[0].height() == 5);
    });
    Upsampling k{true, 1.5, 2.25, true};
    k.outputWidth = 10, k.outputHeight = 11;
    CHECK(reference::compare(download(dx), reference::gradient(k, forward(k, x), x)));

    MPS::CNNUpsamplingNearest nearest(testDevice(), 3, 2);
    CHECK(nearest.scaleFactorX() == 3);
    CHECK_FALSE(nearest.alignCorners());
    MPS::CNNUpsamplingNearestGradient nearestGradient(testDevice(), 3, 2);
    CHECK(nearestGradient.scaleFactorY() == 2);
    nearestGradient.setDestinationImageAllocator(MPS::Image::defaultAllocator());
    run([&](const MTL::CommandBuffer& commands) {
        y = nearest.encodeBatch(commands, source);
        CHECK(y[0].width() == 21);
        CHECK(y[0].height() == 10);
        // Without a state the second image decides the size.
        dx = nearestGradient.encodeBatch(commands, y, source);
    });
    Tensor six = x;
    for (double& v : six.v) v *= 6;
    CHECK(reference::compare(download(dx), six));
}

TEST_CASE("clip rectangles, channel ranges and both offsets place an upsampling") {
    const Tensor x = reference::random(2, 7, 8, 12, 5), before = reference::random(2, 9, 8, 16, 6);
    for (const bool bilinear : {false, true}) {
        INFO("bilinear " << bilinear);
        Upsampling k{bilinear, 2, 3};
        k.offsetX = 1, k.offsetY = 2, k.outputWidth = 5, k.outputHeight = 4;
        const KernelPair pair = pairOf(k, false);
        pair.forward->setClipRect({{2, 3, 0}, {5, 4, 1}});
        pair.forward->setSourceFeatureChannelOffset(4);
        pair.forward->setSourceFeatureChannelMaxCount(5);
        pair.forward->setDestinationFeatureChannelOffset(8);
        pair.gradient->setDestinationImageAllocator(MPS::Image::defaultAllocator());
        const auto byHand = pairOf(k, false);
        byHand.gradient->setPrimaryOffset({2, 3, 0});
        byHand.gradient->setSecondaryOffset({1, 2, 0});
        byHand.gradient->setPrimarySourceFeatureChannelOffset(8);
        byHand.gradient->setSecondarySourceFeatureChannelOffset(4);
        byHand.gradient->setSecondarySourceFeatureChannelMaxCount(4);
        byHand.gradient->setDestinationFeatureChannelOffset(4);
        byHand.gradient->setClipRect({{3, 0, 0}, {4, 3, 1}});
        const auto source = upload(x), y = upload(before),
                   g = upload(reference::randomLike(before, 7)),
                   placed = upload(Tensor(2, 7, 8, 8, 9.0));
        MPS::ImageBatch dx;
        run([&](const MTL::CommandBuffer& commands) {
            const auto states = pair.forward->resultStateBatch(source, {}, y);
            pair.forward->encodeBatch(commands, source, states, y);
            dx = pair.gradient->encodeBatch(commands, g, source, states);
            static_cast<MPS::CNNBinaryKernel&>(*byHand.gradient)
                .encodeBatch(commands, g, source, placed);
        });
        const Tensor part = reference::channels(x, 4, 5);
        Tensor expected = before, actual = download(y);
        reference::paste(expected, {2, 3}, 8, forward(k, part));
        for (size_t n = 0; n < 2; ++n) // the lanes after the last channel belong to its slice
            for (size_t i = 3; i < 7; ++i)
                for (size_t j = 2; j < 7; ++j)
                    for (size_t c = 13; c < 16; ++c)
                        actual.at(n, i, j, c) = expected.at(n, i, j, c);
        CHECK(reference::compare(actual, expected));
        const Tensor incoming = download(g);
        CHECK(pair.gradient->primaryOffset() == MPS::Offset{2, 3, 0});
        CHECK(pair.gradient->secondaryOffset() == MPS::Offset{1, 2, 0});
        CHECK(pair.gradient->clipRect().origin == MTL::Origin{1, 2, 0});
        const Tensor used = reference::channels(reference::crop(incoming, {2, 3, 5, 4}), 8, 5);
        CHECK(reference::compare(download(dx), reference::gradient(k, used, part)));

        // Without a state the gradient counts to its end.
        k.outputWidth = 6, k.outputHeight = 6;
        const Tensor whole = reference::gradient(
            k, reference::channels(reference::crop(incoming, {2, 3, 6, 6}), 8, 4),
            reference::channels(x, 4, 4));
        Tensor wanted(2, 7, 8, 8, 9.0);
        reference::paste(wanted, {3, 0}, 4, reference::crop(whole, {1, 2, 4, 3}));
        CHECK(reference::compare(download(placed), wanted));
    }
}

TEST_CASE("a gradient may begin before its image") {
    Upsampling k{true, 2, 2};
    k.outputWidth = 8, k.outputHeight = 6;
    const Tensor x = reference::random(1, 3, 4, 4, 5), g = reference::random(1, 6, 8, 4, 6);
    const auto pair = pairOf(k, false);
    pair.gradient->setPrimaryOffset({-2, -1, 0});
    const auto dx = upload(x);
    run([&](const MTL::CommandBuffer& commands) {
        static_cast<MPS::CNNBinaryKernel&>(*pair.gradient)
            .encodeBatch(commands, upload(g), upload(x), dx);
    });
    Tensor moved(1, 7, 10, 4, 0.0);
    reference::paste(moved, {2, 1}, 0, g);
    k.outputWidth = 10, k.outputHeight = 7;
    CHECK(reference::compare(download(dx), reference::gradient(k, moved, x)));
}

TEST_CASE("an array of images is upsampled from and to the images that the kernel names") {
    MPS::ImageDescriptor small(MPS::ImageFeatureChannelFormat::Float32, 3, 2, 7, 5),
        large(MPS::ImageFeatureChannelFormat::Float32, 6, 4, 7, 5);
    const auto layout = MPS::DataLayout::HeightxWidthxFeatureChannels;
    const Tensor source = reference::random(5, 2, 3, 7, 8),
                 incoming = reference::random(5, 4, 6, 7, 9);
    for (const bool bilinear : {false, true}) {
        const MPS::Image x(testDevice(), small), dx(testDevice(), small), y(testDevice(), large),
            g(testDevice(), large);
        for (size_t i = 0; i < 5; ++i) {
            x.write(reference::image(source, i).floats(), layout, i);
            g.write(reference::image(incoming, i).floats(), layout, i);
        }
        Upsampling k{bilinear, 2, 2};
        k.outputWidth = 6, k.outputHeight = 4;
        const KernelPair pair = pairOf(k, false);
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
            std::vector<float> result(168), slope(42);
            y.read(result, layout, 1 + i);
            dx.read(slope, layout, 2 + i);
            const Tensor one = reference::image(source, 2 + i);
            CHECK(reference::compare(reference::fromFloats(1, 4, 6, 7, result), forward(k, one)));
            CHECK(
                reference::compare(reference::fromFloats(1, 2, 3, 7, slope),
                                   reference::gradient(k, reference::image(incoming, 1 + i), one)));
        }
    }
}

TEST_CASE("upsampling refuses what cannot be") {
    const MTL::Device device = testDevice();
    CHECK(refusal([&] { MPS::CNNUpsamplingNearest(device, 2, 0); }) ==
          "[CNNUpsamplingNearest] The scale factors are 2.000000 and 0.000000 but each must be a "
          "finite number above 0.");
    CHECK(refusal([&] {
              MPS::CNNUpsamplingBilinear(device, -1.5, 2);
          }).starts_with("[CNNUpsamplingBilinear] The scale factors are -1.500000"));
    CHECK(refusal([&] {
              MPS::CNNUpsamplingBilinearGradient(device, 1, NAN);
          }).starts_with("[CNNUpsamplingBilinearGradient] The scale factors are"));
    const auto x = upload(reference::random(2, 4, 5, 3, 1)), y = upload(Tensor(2, 8, 10, 3));
    const auto smaller = upload(Tensor(2, 4, 4, 3));
    const MTL::CommandBuffer commands = testQueue().commandBuffer();
    CHECK(refusal([&] { MPS::CNNUpsamplingBilinear(device, 1, .2).encodeBatch(commands, x); }) ==
          "[CNNUpsamplingBilinear] sourceImage is 5x4: scaled by 1.000000 and 0.200000 it leaves "
          "no pixel.");
    MPS::CNNUpsamplingNearest up(device, 2, 2);
    up.setLabel("u");
    up.setEdgeMode(MPS::ImageEdgeMode::Mirror);
    CHECK(refusal([&] {
              up.encodeBatch(commands, x, y);
          }).starts_with("[CNNUpsamplingNearest \"u\"] edgeMode is Mirror"));
    up.setEdgeMode(MPS::ImageEdgeMode::Zero);
    up.setOffset({0, -(int64_t(1) << 40), 0});
    CHECK(refusal([&] {
              up.encodeBatch(commands, x, y);
          }).ends_with("reach further than 2^30 pixels."));
    up.setOffset({});
    const auto states = up.resultStateBatch(x, {}, y);
    CHECK(refusal([&] { up.encodeBatch(commands, x, states, smaller); }) ==
          "[CNNUpsamplingNearest \"u\"] The destination state was made for results of 10x8 with 3 "
          "feature channels but this encode writes 4x4 with 3.");
    const auto line = upload(Tensor(1, 1, 60000, 1)), longer = upload(Tensor(1, 1, 65535, 1));
    CHECK(refusal([&] {
              MPS::CNNUpsamplingBilinear(device, 2.00001, 1).encodeBatch(commands, line, longer);
          })
              .starts_with("[CNNUpsamplingBilinear] The scale factor is no fraction of small whole "
                           "numbers"));

    MPS::CNNUpsamplingNearestGradient gradient(device, 2, 2);
    CHECK(refusal([&] { gradient.encodeBatch(commands, smaller, x, states); }) ==
          "[CNNUpsamplingNearestGradient] sourceGradient is 4x4 but the upsampled 5x4 sourceImage "
          "gives 10x8.");
    CHECK(refusal([&] { gradient.encodeBatch(commands, y, smaller, states); }) ==
          "[CNNUpsamplingNearestGradient] sourceImage is 4x4 but the forward source of the "
          "gradient state was 5x4.");
    const auto dx = upload(Tensor(2, 4, 5, 3));
    CHECK(
        refusal([&] {
            MPS::CNNUpsamplingNearestGradient(device, 2, 3).encodeBatch(commands, y, x, states, dx);
        }) == "[CNNUpsamplingNearestGradient] The gradient state's scale factors are 2.000000 "
              "and 2.000000 but this kernel's are 2.000000 and 3.000000.");
    CHECK(refusal([&] {
              MPS::CNNUpsamplingBilinearGradient(device, 2, 2)
                  .encodeBatch(commands, y, x, states, dx);
          }) == "[CNNUpsamplingBilinearGradient] gradientState was made by a CNNUpsamplingNearest "
                "but this kernel takes those of a CNNUpsamplingBilinear.");
    gradient.setPrimarySourceFeatureChannelMaxCount(2);
    CHECK(refusal([&] { gradient.encodeBatch(commands, y, x, states, dx); }) ==
          "[CNNUpsamplingNearestGradient] sourceGradient gives 2 feature channels but sourceImage "
          "3.");
}
