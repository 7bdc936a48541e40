#include "support/Conformance.hpp"
#include "support/EveryKernel.hpp"
#include "support/reference/Resize.hpp"

#include <mpsvk/MPS/NNGridSample.hpp>

#include <catch2/catch_test_macros.hpp>

#include <cmath>
#include <limits>

using namespace mpsvk;
using namespace mpsvk::test;
using reference::EdgeMode;
using reference::Tensor;

namespace {

[[maybe_unused]] const bool named = everyOther([] {
    MPS::NNGridSample kernel(testDevice());
    kernel.setUseGridValueAsInputCoordinate(false);
    return kernel;
});

Tensor result(MPS::NNGridSample& kernel, const MPS::ImageBatch& x, const MPS::ImageBatch& grid) {
    kernel.setDestinationImageAllocator(MPS::Image::defaultAllocator());
    MPS::ImageBatch y;
    run([&](const MTL::CommandBuffer& commands) { y = kernel.encodeBatch(commands, x, grid); });
    return download(y);
}

} // namespace

TEST_CASE("sampling at a grid equals the reference in every storage") {
    for (const Variant variant : variants())
        for (const EdgeMode edge : {EdgeMode::Zero, EdgeMode::Clamp})
            for (const bool absolute : {true, false})
                for (const size_t channels : {1, 6}) {
                    INFO(variant.name() << (absolute ? " absolute" : " relative"));
                    const Tensor x = reference::rounded(reference::random(2, 5, 6, channels, 1),
                                                        variant.rounding());
                    Tensor grid = reference::rounded(reference::random(2, 4, 7, 2, 2, -3, 8),
                                                     variant.rounding());
                    grid.at(0, 0, 0, 0) = 3; // on a pixel
                    grid.at(0, 0, 0, 1) = 2;
                    conforms("NNGridSample", Aspect::Forward, variant);
                    const double step = absolute ? 0 : 1;
                    MPS::NNGridSample kernel(testDevice());
                    CHECK(kernel.useGridValueAsInputCoordinate());
                    kernel.setUseGridValueAsInputCoordinate(absolute);
                    if (edge == EdgeMode::Clamp)
                        kernel.setPrimaryEdgeMode(MPS::ImageEdgeMode::Clamp);
                    const Tensor expected = reference::gridSample(x, grid, step, step, edge);
                    Guarded y(2, 4, 7, channels, variant);
                    run([&](const MTL::CommandBuffer& commands) {
                        kernel.encodeBatch(commands, upload(x, variant), upload(grid, variant),
                                           y.images());
                    });
                    CHECK(reference::compare(y.read(), expected, {variant.tolerance()}));
                    CHECK(reference::compare(
                        result(kernel, upload(x, variant), upload(grid, variant)), expected,
                        {variant.tolerance()}));
                }
}

TEST_CASE("a grid may point anywhere, and nowhere") {
    const double nan = std::nan(""), infinity = std::numeric_limits<double>::infinity();
    const Tensor x(1, 1, 3, 1, {1, 2, 4});
    const Tensor grid(1, 1, 7, 2,
                      {infinity, 0, -infinity, 0, 1e30, 0, nan, 0, 1, nan, 2.5, 0, -1, 0});
    MPS::NNGridSample kernel(testDevice());
    const Tensor zeros = result(kernel, upload(x), upload(grid));
    kernel.setPrimaryEdgeMode(MPS::ImageEdgeMode::Clamp);
    const Tensor clamped = result(kernel, upload(x), upload(grid));
    const std::vector<double> outside{0, 0, 0, nan, nan, 2, 0}, nearest{4, 1, 4, nan, nan, 4, 1};
    for (size_t i = 0; i < 7; ++i) {
        INFO("position " << i);
        CHECK((std::isnan(outside[i]) ? std::isnan(zeros.v[i]) : zeros.v[i] == outside[i]));
        CHECK((std::isnan(nearest[i]) ? std::isnan(clamped.v[i]) : clamped.v[i] == nearest[i]));
    }
    // A neighbour that has no weight does not count.
    kernel.setPrimaryEdgeMode(MPS::ImageEdgeMode::Zero);
    CHECK(result(kernel, upload(Tensor(1, 1, 2, 1, {5, nan})), upload(Tensor(1, 1, 1, 2))).v[0] ==
          5);
}

TEST_CASE("offsets, strides, clip rectangles and channel ranges place a grid") {
    const Tensor x = reference::random(2, 6, 7, 12, 3),
                 grid = reference::random(2, 6, 9, 6, 4, 0, 4);
    MPS::NNGridSample kernel(testDevice());
    kernel.setUseGridValueAsInputCoordinate(false);
    kernel.setPrimaryOffset({-1, 2, 0});
    kernel.setPrimaryStrideInPixelsX(2);
    kernel.setPrimaryStrideInPixelsY(0);
    kernel.setSecondaryOffset({1, 2, 0});
    kernel.setSecondaryStrideInPixelsX(3);
    kernel.setPrimarySourceFeatureChannelOffset(4);
    kernel.setPrimarySourceFeatureChannelMaxCount(4);
    kernel.setSecondarySourceFeatureChannelOffset(4);
    kernel.setDestinationFeatureChannelOffset(4);
    kernel.setClipRect({{1, 1, 0}, {3, 4, 1}});
    Tensor expected(2, 6, 4, 12, 5.0), used(2, 4, 3, 2);
    const auto y = upload(expected);
    run([&](const MTL::CommandBuffer& commands) {
        kernel.encodeBatch(commands, upload(x), upload(grid), y);
    });
    for (size_t n = 0; n < 2; ++n)
        for (size_t i = 0; i < 4; ++i)
            for (size_t j = 0; j < 3; ++j)
                for (size_t c = 0; c < 2; ++c)
                    used.at(n, i, j, c) = grid.at(n, 2 + i, 1 + 3 * j, 4 + c) + (c == 0 ? -1 : 2);
    reference::paste(
        expected, {1, 1}, 4,
        reference::gridSample(reference::channels(x, 4, 4), used, 2, 0, EdgeMode::Zero));
    CHECK(reference::compare(download(y), expected, {1e-6}));
}

TEST_CASE("sampling does not depend on where the images lie, nor on the run") {
    const Tensor x = reference::random(4, 5, 6, 5, 5),
                 grid = reference::random(4, 3, 3, 2, 6, 0, 4);
    MPS::NNGridSample kernel(testDevice());
    const Tensor together = result(kernel, upload(x), upload(grid));
    CHECK(together.v == result(kernel, uploadApart(x), upload(grid)).v);
    CHECK(together.v == result(kernel, upload(x), upload(grid)).v);
    for (size_t i = 0; i < x.n; ++i)
        CHECK(reference::image(together, i).v ==
              result(kernel, upload(reference::image(x, i)), upload(reference::image(grid, i))).v);
    auto copy = kernel.copy(testDevice());
    CHECK(result(copy, upload(x), upload(grid)).v == together.v);
}

TEST_CASE("sampling at a grid refuses what cannot be") {
    const auto x = upload(reference::random(1, 4, 6, 3, 1)), grid = upload(Tensor(1, 3, 2, 2)),
               y = upload(Tensor(1, 3, 3, 3));
    const auto commands = testQueue().commandBuffer();
    MPS::NNGridSample kernel(testDevice());
    conforms("NNGridSample", Aspect::Misuse);
    CHECK(refusal([&] { kernel.encodeBatch(commands, x, x); }) ==
          "[NNGridSample] The grid, secondaryImage, offers 3 feature channels but must offer 2, x "
          "and y.");
    CHECK(refusal([&] { kernel.encodeBatch(commands, x, grid, y); }) ==
          "[NNGridSample] The clip rectangle covers 3x3 pixels of the destination but the result "
          "has only 2x3.");
    kernel.setSecondaryOffset({-1, 0, 0});
    CHECK(refusal([&] { kernel.encodeBatch(commands, x, grid, y); }) ==
          "[NNGridSample] secondaryOffset is (-1, 0) but the grid has no such pixel.");
    kernel.setSecondaryOffset({});
    kernel.setPrimaryEdgeMode(MPS::ImageEdgeMode::Mirror);
    CHECK(refusal([&] {
              kernel.encodeBatch(commands, x, grid);
          }).find("primaryEdgeMode is Mirror") != std::string::npos);
}
