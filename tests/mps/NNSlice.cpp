#include "support/Conformance.hpp"
#include "support/EveryKernel.hpp"

#include <mpsvk/MPS/NNSlice.hpp>

#include <catch2/catch_test_macros.hpp>

using namespace mpsvk;
using namespace mpsvk::test;
using reference::Tensor;

namespace {
[[maybe_unused]] const bool named = everyKernel(
    [] {
        MPS::NNSlice kernel(testDevice());
        kernel.setOffset({1, 2, 0});
        return kernel;
    },
    {6, 5, 8}, true);
} // namespace

TEST_CASE("a slice copies any channels of a part of the image, in every storage") {
    for (const Variant variant : variants())
        for (const uint64_t first : {0, 1, 2, 3, 4, 9})
            for (const uint64_t count : {1, 4, 6, 100}) {
                INFO(variant.name() << ", channels from " << first << ", at most " << count);
                const Tensor x =
                    reference::rounded(reference::random(2, 5, 6, 14, 1), variant.rounding());
                const size_t copied = std::min<size_t>(count, 14 - first);
                MPS::NNSlice kernel(testDevice());
                kernel.setOffset({2, 1, 0});
                kernel.setSourceFeatureChannelOffset(first);
                kernel.setSourceFeatureChannelMaxCount(count);
                Guarded whole(2, 4, 4, copied, variant);
                const auto part = upload(Tensor(2, 5, 7, copied + 4, 9.0), variant);
                run([&](const MTL::CommandBuffer& commands) {
                    kernel.encodeBatch(commands, upload(x, variant), whole.images());
                    kernel.setClipRect({{3, 2, 0}, {4, 2, 1}});
                    kernel.setDestinationFeatureChannelOffset(4);
                    kernel.encodeBatch(commands, upload(x, variant), part);
                });
                const Tensor expected =
                    reference::channels(reference::crop(x, {2, 1, 4, 4}), first, copied);
                CHECK(whole.read().v == expected.v);
                Tensor placed(2, 5, 7, copied + 4, 9.0);
                reference::paste(placed, {3, 2}, 4, reference::crop(expected, {0, 0, 4, 2}));
                CHECK(download(part).v == placed.v);
                conforms("NNSlice", Aspect::Forward, variant);
            }
}

TEST_CASE("a slice reads beyond its source through the edge mode") {
    const Tensor x(1, 1, 3, 2, {1, 2, 3, 4, 5, 6});
    MPS::NNSlice kernel(testDevice());
    kernel.setOffset({-1, 0, 0});
    kernel.setSourceFeatureChannelOffset(1);
    Guarded zero(1, 1, 5, 1), clamp(1, 1, 5, 1);
    run([&](const MTL::CommandBuffer& commands) {
        kernel.encodeBatch(commands, upload(x), zero.images());
        kernel.setEdgeMode(MPS::ImageEdgeMode::Clamp);
        kernel.encodeBatch(commands, upload(x), clamp.images());
    });
    CHECK(zero.read().v == std::vector<double>{0, 2, 4, 6, 0});
    CHECK(clamp.read().v == std::vector<double>{2, 2, 4, 6, 6});
}

TEST_CASE("a slice that makes its result ends with the clip rectangle or with the source") {
    const Tensor x =
        reference::rounded(reference::random(2, 5, 6, 7, 2), reference::Storage::Float32);
    MPS::NNSlice kernel(testDevice());
    kernel.setDestinationImageAllocator(MPS::Image::defaultAllocator());
    kernel.setOffset({2, 1, 0});
    kernel.setSourceFeatureChannelOffset(5);
    MPS::ImageBatch rest, part;
    run([&](const MTL::CommandBuffer& commands) {
        rest = kernel.encodeBatch(commands, upload(x));
        kernel.setClipRect({{1, 0, 0}, {2, 3, 1}});
        part = kernel.encodeBatch(commands, upload(x));
    });
    CHECK(kernel.offset() == MPS::Offset{2, 1, 0});
    CHECK(download(rest).v == reference::channels(reference::crop(x, {2, 1, 4, 4}), 5, 2).v);
    Tensor expected(2, 3, 3, 2);
    reference::paste(expected, {1, 0}, 0,
                     reference::channels(reference::crop(x, {2, 1, 2, 3}), 5, 2));
    CHECK(download(part).v == expected.v);
}

TEST_CASE("a slice is the same wherever the images lie, and takes arrays of images") {
    const Tensor x =
        reference::rounded(reference::random(4, 3, 4, 6, 3), reference::Storage::Float32);
    MPS::NNSlice kernel(testDevice());
    kernel.setSourceFeatureChannelOffset(3);
    Guarded together(4, 3, 4, 3), apart(4, 3, 4, 3);
    const MPS::Image many(testDevice(), {MPS::ImageFeatureChannelFormat::Float32, 4, 3, 6, 4});
    const MPS::Image few(testDevice(), {MPS::ImageFeatureChannelFormat::Float32, 4, 3, 3, 2});
    for (size_t i = 0; i < 4; ++i)
        many.write(reference::image(x, i).floats(), MPS::DataLayout::HeightxWidthxFeatureChannels,
                   i);
    run([&](const MTL::CommandBuffer& commands) {
        kernel.encodeBatch(commands, upload(x), together.images());
        kernel.encodeBatch(commands, uploadApart(x), apart.images());
        kernel.setOffset({0, 0, 2});
        kernel.encode(commands, many, few);
    });
    const Tensor expected = reference::channels(x, 3, 3);
    CHECK(together.read().v == expected.v);
    CHECK(apart.read().v == expected.v);
    for (size_t i = 0; i < 2; ++i) {
        std::vector<float> values(36);
        few.read(values, MPS::DataLayout::HeightxWidthxFeatureChannels, i);
        CHECK(reference::fromFloats(1, 3, 4, 3, values).v == reference::image(expected, 2 + i).v);
    }
}

TEST_CASE("a slice refuses what cannot be") {
    const auto x = upload(Tensor(1, 4, 4, 6)), y = upload(Tensor(1, 4, 4, 6));
    const MTL::CommandBuffer commands = testQueue().commandBuffer();
    MPS::NNSlice kernel(testDevice());
    kernel.setLabel("s");
    kernel.setEdgeMode(MPS::ImageEdgeMode::Constant);
    CHECK(refusal([&] { kernel.encodeBatch(commands, x, y); }) ==
          "[NNSlice \"s\"] edgeMode is Constant but only Zero and Clamp are known to this kernel.");
    kernel.setEdgeMode(MPS::ImageEdgeMode::Zero);
    kernel.setSourceFeatureChannelOffset(6);
    CHECK(refusal([&] { kernel.encodeBatch(commands, x, y); }) ==
          "[NNSlice \"s\"] sourceImage has 6 feature channels but channels 6 to 7 are needed.");
    kernel.setSourceFeatureChannelOffset(1);
    kernel.setOffset({4, 0, 0});
    CHECK(refusal([&] { kernel.encodeBatch(commands, x); }) ==
          "[NNSlice \"s\"] offset (4, 0) and clipRect leave no pixel of the 4x4 sourceImage.");
    CHECK(kernel.resultStateBatch(x, {}, y).empty());
}
