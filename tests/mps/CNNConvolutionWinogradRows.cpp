// What filtering of rows by Winograd's transformations does beyond that of tiles: see
// CNNConvolutionWinograd.cpp. Disabling direct_tile has it used for any size and on any device.
#include "mps/ConvolutionCases.hpp"
#include "mps/DeviceTable.hpp"
#include "mps/WinogradPlan.hpp"
#include "support/Sentence.hpp"

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <cmath>
#include <string_view>

using namespace mpsvk;
using namespace mpsvk::test;

namespace {

constexpr const char* forced = "direct_tile";

/// Relative to the largest value: stricter than to the sum of magnitudes.
template <class Reference> void check(const Passes& got, const Reference& r, const Tensor& x) {
    CHECK(reference::compare(got.y, reference::forward(r, x), {1e-5}));
    CHECK(reference::compare(got.dx, reference::dataGradient(r, got.e, x.h, x.w), {1e-5}));
    CHECK(reference::compare(got.dw, reference::weightsGradient(r, got.e, x), {1e-5}));
    CHECK(reference::compare(got.db, reference::biasGradient(got.e), {1e-5}));
}

Tensor randomImages(size_t n, size_t h, size_t w, size_t c, uint64_t seed) {
    return reference::rounded(reference::random(n, h, w, c, seed), reference::Storage::Float32);
}

} // namespace

TEST_CASE("filtered rows may have any number of rows of taps, and many channels") {
    const Environment environment("MPSVK_DISABLE", forced);
    const Case cases[] = {
        {"72 to 136, 5x5", 1, 6, 11, 72, 136, 5, 5, 1, 1, 1, false, false, same},
        {"20 to 16, rows of 4", 2, 5, 9, 20, 16, 2, 4, 1, 1, 1, false, false, same},
        {"16 to 20, rows of 3, five of them", 2, 9, 7, 16, 20, 5, 3, 1, 1, 1, false, false, same},
        {"28 to 16, a row of 5", 2, 4, 10, 28, 16, 1, 5, 1, 1, 1, false, false, same},
    };
    for (const Case& k : cases) {
        INFO(k.name);
        auto r = referenceOf(k, 40);
        Kernels kernels(r, k.padding);
        const Tensor x = randomImages(k.n, k.h, k.w, k.ci, 5);
        const Passes got = runPasses(kernels.forward, kernels.gradient, x);
        place(r, kernels.forward, got.y);
        check(got, r, x);
    }
}

TEST_CASE("filtered rows may be apart") {
    const Environment environment("MPSVK_DISABLE", forced);
    for (const auto& [stride, dilation] : {std::pair(2, 1), {1, 2}, {3, 2}}) {
        INFO("stride " << stride << ", dilation " << dilation << " along columns");
        auto r = referenceOf({"", 2, 11, 9, 20, 24, 3, 3, 1, 1, 1, false, false, same}, 3);
        r.strideY = size_t(stride);
        r.dilationY = size_t(dilation);
        Kernels kernels(r);
        const Tensor x = randomImages(2, 11, 9, 20, 5);
        const Passes got = runPasses(kernels.forward, kernels.gradient, x);
        place(r, kernels.forward, got.y);
        check(got, r, x);
    }
}

TEST_CASE("filtered rows give the same bits every time, whatever the batch is cut into") {
    const Environment environment("MPSVK_DISABLE", forced);
    auto r = referenceOf({"", 3, 9, 9, 32, 48, 3, 3, 1, 1, 1, false, false, same}, 4);
    Kernels kernels(r);
    const Tensor x = randomImages(3, 9, 9, 32, 5);
    const Passes first = runPasses(kernels.forward, kernels.gradient, x);
    const Passes second = runPasses(kernels.forward, kernels.gradient, x);
    CHECK(first.y.v == second.y.v);
    CHECK(first.dx.v == second.dx.v);
    CHECK(first.dw == second.dw);
    const Passes apart = runPasses(kernels.forward, kernels.gradient, x, {}, true);
    CHECK(first.y.v == apart.y.v);
    CHECK(first.dx.v == apart.dx.v);
}

TEST_CASE("filtered rows are for few channels and large batches") {
    const vk::Processor on{vk::Architecture::Nvidia, VK_DRIVER_ID_NVIDIA_PROPRIETARY, 132, false};
    const auto best = [&](const mps::WinogradShape& s) {
        const double rows = mps::winogradRows(on, s).microseconds,
                     tiles = mps::winogradTime(on, s, mps::winogradParts(s)),
                     direct = mps::directTime(on, s);
        return std::string_view(rows < std::min(tiles, direct) ? "rows"
                                : tiles < direct               ? "tiles"
                                                               : "direct");
    };
    CHECK(best({3, 64, 56, 56, 64, 64}) == "rows");
    CHECK(best({3, 64, 56, 56, 32, 32}) == "rows");
    CHECK(best({5, 128, 14, 14, 32, 64}) == "rows");
    CHECK(best({5, 128, 14, 14, 64, 32}) == "rows");
    CHECK(best({3, 64, 28, 28, 128, 128}) == "tiles");
    CHECK(best({3, 64, 7, 7, 512, 512}) == "tiles");
    CHECK(best({3, 1, 7, 7, 512, 512}) == "direct");
    CHECK(mps::winogradRows(on, {5, 128, 14, 14, 64, 32}).columns == 32);

    constexpr uint64_t most = uint64_t(1) << 32;
    const auto plan = mps::winogradRowsGradient(on, {3, 64, 56, 56, 64, 64}, most);
    CHECK(plan.tilesDown == 1);
    CHECK(plan.tilesAcross == 3);
    CHECK(plan.parts == 44);
    CHECK(plan.parts * plan.segments >= 64 * 56 * 10);
    CHECK((plan.parts - 1) * plan.segments < 64 * 56 * 10);
    CHECK(plan.microseconds < mps::directTime(on, {3, 64, 56, 56, 64, 64}));
    CHECK(mps::winogradRowsGradient(on, {3, 64, 56, 56, 32, 32}, most).microseconds >
          mps::directTime(on, {3, 64, 56, 56, 32, 32}));
}

TEST_CASE(
    "where operands are split in bf16, products of fp32 are faster and filtering still pays") {
    vk::Processor on{vk::Architecture::Nvidia, VK_DRIVER_ID_NVIDIA_PROPRIETARY, 132, false};
    const mps::WinogradShape large{3, 64, 28, 28, 128, 128}, small{3, 64, 7, 7, 512, 512};
    const auto tiles = [&](const mps::WinogradShape& s) {
        return mps::winogradTime(on, s, mps::winogradParts(s));
    };
    const auto direct = [&](mps::WinogradShape s, uint32_t shares) {
        s.directShares = shares;
        return mps::directTime(on, s);
    };
    const double tilesBefore = tiles(large);
    on.hasFastBfloat16 = true;
    CHECK(mps::splitsFloats(on));
    CHECK(tiles(large) < tilesBefore);
    CHECK(direct(large, 3) < direct(large, 0));
    CHECK(tiles(large) < direct(large, 3));
    CHECK(tiles(small) < direct(small, 3));
    const mps::WinogradShape narrow{3, 64, 56, 56, 64, 64};
    CHECK(mps::winogradRows(on, narrow).microseconds < direct(narrow, 3));
    // Two bf16 are faster still, but for images of few pixels.
    CHECK(direct(large, 2) < tiles(large));
    CHECK(tiles(small) < direct(small, 2));
    CHECK(mps::winogradGradientTime(on, small, mps::winogradParts(small)) < direct(small, 2));
    // Products that do not fill tiles of matrices stay in fp32.
    const mps::WinogradShape few{3, 64, 28, 28, 128, 80};
    const double split = tiles(few);
    on.hasFastBfloat16 = false;
    CHECK(tiles(few) == split);
    on.hasFastBfloat16 = true;
    // Another driver was not measured.
    on.driver = VK_DRIVER_ID_MESA_NVK;
    CHECK(!mps::splitsFloats(on));
}

TEST_CASE("filtered rows are not for long sums, few registers and little memory") {
    const vk::Processor on{vk::Architecture::Nvidia, VK_DRIVER_ID_NVIDIA_PROPRIETARY, 132, false};
    CHECK(std::isinf(mps::winogradRows(on, {3, 64, 56, 56, 1024, 64}).microseconds));
    CHECK(std::isinf(mps::winogradRows(on, {5, 64, 56, 56, 520, 64}).microseconds));
    const vk::Processor phone{vk::Architecture::Mali, VK_DRIVER_ID_ARM_PROPRIETARY, 8, false};
    const mps::WinogradShape shape{3, 256, 112, 112, 64, 64};
    CHECK(std::isinf(mps::winogradRows(phone, shape).microseconds));
    CHECK(std::isinf(mps::winogradRowsGradient(phone, shape, 1 << 27).microseconds));

    const uint64_t bytes = mps::winogradRowsPartBytes(shape);
    CHECK(bytes == 16 * (9 * 16 + 1) * 64);
    for (const uint64_t most : {bytes * 300, bytes * 500, uint64_t(1) << 32}) {
        const auto plan = mps::winogradRowsGradient(on, shape, most);
        CHECK(plan.segments <= 2560);
        CHECK(plan.parts * bytes <= most);
        CHECK(uint64_t(plan.parts) * plan.segments >= mps::winogradSegments(shape));
    }
    CHECK(std::isinf(mps::winogradRowsGradient(on, shape, bytes * 100).microseconds));
}
