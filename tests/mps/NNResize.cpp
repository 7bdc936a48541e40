#include "support/Conformance.hpp"
#include "support/EveryKernel.hpp"
#include "support/reference/Resize.hpp"

#include <mpsvk/MPS/NNResize.hpp>

#include <catch2/catch_test_macros.hpp>

#include <cmath>
#include <limits>

using namespace mpsvk;
using namespace mpsvk::test;
using reference::EdgeMode;
using reference::Tensor;

namespace {

Tensor result(MPS::CNNKernel& kernel, const MPS::ImageBatch& x) {
    kernel.setDestinationImageAllocator(MPS::Image::defaultAllocator());
    MPS::ImageBatch y;
    run([&](const MTL::CommandBuffer& commands) { y = kernel.encodeBatch(commands, x); });
    if (y[0].numberOfImages() == 1) return download(y);
    std::vector<Tensor> images;
    for (const MPS::Image& image : y)
        for (const MPS::Image& one : image.batchRepresentation()) images.push_back(download({one}));
    return reference::stack(images);
}

const std::vector<reference::CropRegion> crops{
    {}, {0.25, 0.5, 0.5, 0.5}, {-0.5, 0.1, 2, 0.7}, {0.9, 1, -0.7, -1}, {1.0 / 3, 0, 2.0 / 3, 0.2}};

std::vector<MPS::Region> regionsOf(const std::vector<reference::CropRegion>& crops) {
    std::vector<MPS::Region> all;
    for (const auto& crop : crops)
        all.push_back({{crop.x, crop.y, 0}, {crop.width, crop.height, 1}});
    return all;
}

[[maybe_unused]] const bool named[] = {
    everyKernel([] { return MPS::NNResizeBilinear(testDevice(), 9, 4, true); }),
    everyKernel([] {
        return MPS::NNCropAndResizeBilinear(testDevice(), 4, 3, 1,
                                            regionsOf({{0.25, -0.5, 0.5, 1}}));
    }),
};

MPS::NNCropAndResizeBilinear cropping(uint64_t width, uint64_t height) {
    return {testDevice(), width, height, crops.size(), regionsOf(crops)};
}

} // namespace

TEST_CASE("resizing equals the reference in every storage") {
    for (const Variant variant : variants())
        for (const bool alignCorners : {false, true})
            for (const auto& [width, height] :
                 {std::array<size_t, 2>{1, 1}, {5, 4}, {10, 8}, {13, 3}, {2, 11}}) {
                INFO(variant.name() << " to " << width << "x" << height
                                    << (alignCorners ? ", corners aligned" : ""));
                const Tensor x =
                    reference::rounded(reference::random(2, 4, 5, 6, 1), variant.rounding());
                const Tensor expected = reference::resize(x, width, height, alignCorners);
                MPS::NNResizeBilinear kernel(testDevice(), width, height, alignCorners);
                Guarded y(2, height, width, 6, variant);
                run([&](const MTL::CommandBuffer& commands) {
                    kernel.encodeBatch(commands, upload(x, variant), y.images());
                });
                CHECK(reference::compare(y.read(), expected, {variant.tolerance()}));
                CHECK(reference::compare(result(kernel, upload(x, variant)), expected,
                                         {variant.tolerance()}));
                conforms("NNResizeBilinear", Aspect::Forward, variant);
            }
}

TEST_CASE("a resized row has the documented numbers, and a long one is exact") {
    const auto row = upload(Tensor(1, 1, 3, 1, {1, 2, 4}));
    MPS::NNResizeBilinear plain(testDevice(), 6, 1), aligned(testDevice(), 6, 1, true);
    CHECK_FALSE(plain.alignCorners());
    CHECK(aligned.resizeWidth() == 6);
    CHECK(reference::compare(result(plain, row).v, {1, 1.5, 2, 3, 4, 4}));
    CHECK(reference::compare(result(aligned, row).v, {1, 1.4, 1.8, 2.4, 3.2, 4}));
    const Tensor x = reference::random(1, 1, 3001, 1, 2);
    MPS::NNResizeBilinear longer(testDevice(), 4099, 1, true);
    CHECK(
        reference::compare(result(longer, upload(x)), reference::resize(x, 4099, 1, true), {1e-6}));
    const double infinity = std::numeric_limits<double>::infinity();
    MPS::NNResizeBilinear same(testDevice(), 3, 1);
    CHECK(result(same, upload(Tensor(1, 1, 3, 1, {1, infinity, 2}))).v ==
          std::vector<double>{1, infinity, 2});
}

TEST_CASE("a resize reads from its offset and writes within its clip rectangle") {
    const Tensor x = reference::random(2, 5, 6, 12, 3);
    MPS::NNResizeBilinear kernel(testDevice(), 9, 7);
    kernel.setOffset({2, -1, 0});
    kernel.setClipRect({{1, 2, 0}, {4, 7, 1}});
    kernel.setSourceFeatureChannelOffset(4);
    kernel.setSourceFeatureChannelMaxCount(4);
    kernel.setDestinationFeatureChannelOffset(8);
    Tensor expected(2, 10, 7, 16, 3.0);
    const auto y = upload(expected);
    run([&](const MTL::CommandBuffer& commands) { kernel.encodeBatch(commands, upload(x), y); });
    const Tensor all = reference::resize(reference::channels(x, 4, 4), 9, 7, false, 2, -1);
    reference::paste(expected, {1, 2}, 8, reference::crop(all, {0, 0, 4, 7}));
    CHECK(reference::compare(download(y), expected, {1e-6}));
}

TEST_CASE("regions equal the reference in every storage") {
    for (const Variant variant : variants())
        for (const EdgeMode edge : {EdgeMode::Zero, EdgeMode::Clamp})
            for (const auto& [width, height] : {std::array<size_t, 2>{1, 1}, {4, 3}, {7, 9}}) {
                INFO(variant.name() << " to " << width << "x" << height);
                const Tensor x =
                    reference::rounded(reference::random(3, 6, 5, 7, 4), variant.rounding());
                auto kernel = cropping(width, height);
                if (edge == EdgeMode::Clamp) kernel.setEdgeMode(MPS::ImageEdgeMode::Clamp);
                CHECK(reference::compare(result(kernel, upload(x, variant)),
                                         reference::cropAndResize(x, width, height, crops, edge),
                                         {variant.tolerance()}));
                conforms("NNCropAndResizeBilinear", Aspect::Forward, variant);
            }
}

TEST_CASE("a kernel with regions takes sources of any size, and one result lies in one image") {
    auto kernel = cropping(4, 3);
    const auto copy = kernel.copy(testDevice());
    CHECK(copy.numberOfRegions() == crops.size());
    CHECK(copy.regions()[1].origin.x == 0.25);
    for (const size_t size : {1, 9, 4}) {
        const Tensor x = reference::random(2, size, size + 1, 3, size);
        const Tensor expected = reference::cropAndResize(x, 4, 3, crops, EdgeMode::Zero);
        const Tensor together = result(kernel, upload(x));
        CHECK(reference::compare(together, expected));
        CHECK(together.v == result(kernel, uploadApart(x)).v);
        CHECK(together.v == result(kernel, upload(x)).v);
    }
    // An array of images into an array of results, which begins with its second image.
    MPS::ImageDescriptor d(MPS::ImageFeatureChannelFormat::Float32, 6, 5, 3, 3),
        results(MPS::ImageFeatureChannelFormat::Float32, 4, 3, 3, 1 + 2 * crops.size());
    const MPS::Image x(testDevice(), d), y(testDevice(), results);
    std::vector<Tensor> images;
    for (size_t i = 0; i < 3; ++i) {
        images.push_back(reference::random(1, 5, 6, 3, 30 + i));
        x.write(images[i].floats(), MPS::DataLayout::HeightxWidthxFeatureChannels, i);
    }
    kernel.setOffset({0, 0, 1});
    kernel.setClipRect({{0, 0, 1}, {4, 3, 2 * crops.size()}});
    run([&](const MTL::CommandBuffer& commands) { kernel.encode(commands, x, y); });
    const Tensor expected = reference::cropAndResize(reference::stack({images[1], images[2]}), 4, 3,
                                                     crops, EdgeMode::Zero);
    const auto parts = y.batchRepresentation();
    CHECK(reference::compare(download(MPS::ImageBatch(parts.begin() + 1, parts.end())), expected));
}

TEST_CASE("resizing refuses what cannot be") {
    CHECK(refusal([] { MPS::NNResizeBilinear(testDevice(), 0, 4); }) ==
          "[NNResizeBilinear] The resized image is 0x4 but must have a pixel.");
    CHECK(refusal([] { MPS::NNCropAndResizeBilinear(testDevice(), 2, 2, 2, regionsOf({{}})); }) ==
          "[NNCropAndResizeBilinear] numberOfRegions is 2 but there are 1 regions, and at least "
          "one is needed.");
    CHECK(refusal([] {
              MPS::NNCropAndResizeBilinear(testDevice(), 2, 2, 1, regionsOf({{std::nan(""), 0}}));
          }) == "[NNCropAndResizeBilinear] regions[0] has a value that is no finite number.");
    const auto x = upload(reference::random(2, 4, 6, 3, 1)), y = upload(Tensor(2, 8, 8, 3));
    const auto commands = testQueue().commandBuffer();
    MPS::NNResizeBilinear kernel(testDevice(), 3, 5);
    CHECK(refusal([&] { kernel.encodeBatch(commands, x, y); }) ==
          "[NNResizeBilinear] The clip rectangle covers 8x8 pixels of the destination but the "
          "result has only 3x5.");
    kernel.setEdgeMode(MPS::ImageEdgeMode::Constant);
    CHECK(refusal([&] { kernel.encodeBatch(commands, x); }).find("edgeMode is Constant") !=
          std::string::npos);
    MPS::NNResizeBilinear wide(testDevice(), 3, 5);
    wide.setOffset({int64_t(1) << 40, 0, 0});
    const auto small = upload(Tensor(2, 5, 3, 3));
    CHECK(refusal([&] { wide.encodeBatch(commands, x, small); }).find("can be counted") !=
          std::string::npos);
    auto crop = cropping(8, 8);
    CHECK(refusal([&] { crop.encodeBatch(commands, x, y); }) ==
          "[NNCropAndResizeBilinear] destinationImages[0] has numberOfImages 1 but every image of "
          "a batch must have 5.");
    crop.setOffset({1, 0, 0});
    MPS::ImageDescriptor d(MPS::ImageFeatureChannelFormat::Float32, 8, 8, 3, 5);
    const MPS::Image fits(testDevice(), d);
    CHECK(refusal([&] { crop.encode(commands, x[0], fits); }) ==
          "[NNCropAndResizeBilinear] offset is (1, 0) but must be (0, 0): the regions say what is "
          "read.");
    crop.setOffset({});
    crop.setClipRect({{0, 0, 0}, {8, 8, 3}});
    CHECK(refusal([&] { crop.encode(commands, x[0], fits); }).find("in steps of 5") !=
          std::string::npos);
    crop.setClipRect({{0, 0, 2}, {8, 8, UINT64_MAX}});
    CHECK(refusal([&] { crop.encode(commands, x[0], fits); }) ==
          "[NNCropAndResizeBilinear] One source image gives 5 results but the destination has 3 "
          "images from clipRect.origin.z on.");
    MPS::NNCropAndResizeBilinear far(testDevice(), 2, 2, 1, regionsOf({{1e30, 0}}));
    CHECK(refusal([&] { far.encode(commands, x[0]); }).find("2^30") != std::string::npos);
}
