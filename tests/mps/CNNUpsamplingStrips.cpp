// Gradients of bilinear upsampling by whole factors, whose invocations have strips of pixels.
#include "mps/UpsamplingKernels.hpp"

#include "support/Sentence.hpp"

#include <catch2/catch_test_macros.hpp>

#include <array>
#include <cmath>
#include <limits>

using namespace mpsvk;
using namespace mpsvk::test;

namespace {

/// On a CPU, too. The device is made before that, with the switches of the program's environment.
Environment inStrips() {
    testDevice();
    return {"MPSVK_DISABLE", "cached_strips"};
}

Upsampling wholeOf(size_t x, size_t y, size_t w, size_t h) {
    Upsampling k{true, double(x), double(y)};
    k.outputWidth = w * x, k.outputHeight = h * y;
    return k;
}

std::string nameOf(const Upsampling& k, size_t w, size_t h) {
    return std::to_string(w) + "x" + std::to_string(h) + " by " + std::to_string(k.scaleX) + " x " +
           std::to_string(k.scaleY) + " to " + std::to_string(k.outputWidth) + "x" +
           std::to_string(k.outputHeight) + " offset " + std::to_string(k.offsetX) + ", " +
           std::to_string(k.offsetY);
}

/// The gradient without a state, of results that begin at `primary`, into `clip` of `to`.
Tensor placed(const Upsampling& k, const Tensor& g, const Tensor& x, const Tensor& to,
              MPS::Offset primary, MTL::Region clip, Variant variant = {}) {
    const auto pair = pairOf(k, false);
    pair.gradient->setPrimaryOffset(primary);
    pair.gradient->setSecondaryOffset({k.offsetX, k.offsetY, 0});
    pair.gradient->setClipRect(clip);
    const auto dx = upload(to, variant);
    run([&](const MTL::CommandBuffer& commands) {
        static_cast<MPS::CNNBinaryKernel&>(*pair.gradient)
            .encodeBatch(commands, upload(g, variant), upload(x, variant), dx);
    });
    return download(dx);
}

/// Whether results of an axis of `size` pixels count for a pixel.
bool counts(size_t result, size_t pixel, size_t factor, size_t size) {
    const size_t below = result / factor;
    return pixel == below || (result % factor != 0 && pixel == std::min(below + 1, size - 1));
}

const std::array<std::pair<size_t, size_t>, 5> factors = {{{2, 2}, {3, 2}, {1, 3}, {4, 1}, {2, 4}}};

} // namespace

TEST_CASE(
    "gradients of upsampling by whole factors equal the reference for strips of all lengths") {
    const Environment strips = inStrips();
    const std::pair<size_t, size_t> sizes[] = {{1, 1}, {2, 4}, {3, 5}, {5, 7}, {8, 10}, {33, 3}};
    size_t turn = 0;
    for (const Variant variant : variants())
        for (const auto& [fx, fy] : factors)
            for (const auto& [w, h] : sizes) {
                const Upsampling k = wholeOf(fx, fy, w, h);
                const size_t channels = std::array{8, 3, 16, 5}[turn++ % 4];
                INFO(variant.name() << ", " << nameOf(k, w, h) << ", " << channels << " channels");
                const Tensor x = reference::rounded(reference::random(3, h, w, channels, turn),
                                                    variant.rounding());
                const Tensor g = reference::rounded(
                    reference::random(3, k.outputHeight, k.outputWidth, channels, 1000 + turn),
                    variant.rounding());
                const auto source = upload(x, variant), dy = upload(g, variant);
                const Tensor dx = reference::gradient(k, g, x);
                const PairResult actual = both(k, source, dy, variant, true);
                CHECK(reference::compare(actual.dx, dx, {variant.tolerance()}));
                CHECK(both(k, source, dy, variant, true).dx.v == actual.dx.v);
            }
}

TEST_CASE("clip rectangles cut the strips of an upsampling gradient") {
    const Environment strips = inStrips();
    for (const Variant variant : variants())
        for (const auto& [fx, fy] : factors) {
            const Upsampling k = wholeOf(fx, fy, 7, 9);
            const Tensor x =
                reference::rounded(reference::random(2, 9, 7, 16, 5), variant.rounding());
            const Tensor g = reference::rounded(
                reference::random(2, k.outputHeight, k.outputWidth, 16, 6), variant.rounding());
            const Tensor dx = reference::gradient(k, g, x);
            // Of the destination, which is larger than the source: beyond that all is zero.
            for (const auto& [left, top, w, h] : {std::array<size_t, 4>{0, 0, 7, 9},
                                                  {1, 2, 3, 5},
                                                  {2, 1, 6, 6},
                                                  {0, 0, 10, 12},
                                                  {3, 3, 1, 1},
                                                  {1, 0, 8, 11}}) {
                INFO(variant.name() << ", " << nameOf(k, 7, 9) << ", clip " << left << ", " << top
                                    << ", " << w << "x" << h);
                Tensor wanted(2, 12, 10, 16, 9.0);
                const Tensor before = wanted;
                Tensor all(2, 12, 10, 16, 0.0);
                reference::paste(all, {0, 0}, 0, dx);
                reference::paste(wanted, {std::ptrdiff_t(left), std::ptrdiff_t(top)}, 0,
                                 reference::crop(all, {0, 0, w, h}));
                CHECK(reference::compare(
                    placed(k, g, x, before, {}, {{left, top, 0}, {w, h, 1}}, variant), wanted,
                    {variant.tolerance()}));
            }
        }
}

TEST_CASE("results without weight never count in an upsampling gradient, whatever they are") {
    const Environment strips = inStrips();
    constexpr double infinity = std::numeric_limits<double>::infinity();
    constexpr size_t w = 5, h = 6;
    for (const auto& [fx, fy] : factors) {
        const Upsampling k = wholeOf(fx, fy, w, h);
        const size_t columns = k.outputWidth, rows = k.outputHeight;
        // An image for each result that is none.
        const Tensor x(columns * rows, h, w, 1, 1.0);
        for (const double value : {infinity, double(NAN)}) {
            INFO(nameOf(k, w, h) << ", " << value);
            Tensor g(columns * rows, rows, columns, 1, 1.0);
            for (size_t n = 0; n < columns * rows; ++n)
                g.at(n, n / columns, n % columns, 0) = value;
            const Tensor sound =
                reference::gradient(k, Tensor(1, rows, columns, 1, 1.0), Tensor(1, h, w, 1));
            for (const Variant variant : variants()) {
                const Tensor dx = both(k, upload(x, variant), upload(g, variant), variant, true).dx;
                size_t wrong = 0;
                for (size_t n = 0; n < columns * rows; ++n)
                    for (size_t i = 0; i < h; ++i)
                        for (size_t j = 0; j < w; ++j) {
                            const double v = dx.at(n, i, j, 0);
                            const bool isHit =
                                counts(n % columns, j, fx, w) && counts(n / columns, i, fy, h);
                            wrong += !isHit              ? std::abs(v - sound.at(0, i, j, 0)) > 1e-2
                                     : std::isnan(value) ? !std::isnan(v)
                                                         : v != infinity;
                        }
                CHECK(wrong == 0);
            }
        }
    }
}

TEST_CASE("an upsampling gradient uses nothing around its results, nor other channels") {
    const Environment strips = inStrips();
    for (const Variant variant : variants())
        for (const auto& [fx, fy] : factors) {
            const Upsampling k = wholeOf(fx, fy, 5, 6);
            INFO(variant.name() << ", " << nameOf(k, 5, 6));
            const Tensor x = reference::random(2, 6, 5, 12, 7);
            const Tensor g = reference::rounded(
                reference::random(2, k.outputHeight, k.outputWidth, 5, 8), variant.rounding());
            Tensor around(2, k.outputHeight + 5, k.outputWidth + 4, 16, double(NAN));
            reference::paste(around, {3, 2}, 8, g);
            const KernelPair pair = pairOf(k, false);
            pair.forward->setClipRect({{3, 2, 0}, {k.outputWidth, k.outputHeight, 1}});
            pair.forward->setSourceFeatureChannelOffset(4);
            pair.forward->setSourceFeatureChannelMaxCount(5);
            pair.forward->setDestinationFeatureChannelOffset(8);
            pair.gradient->setDestinationImageAllocator(MPS::Image::defaultAllocator());
            const auto source = upload(x, variant), dy = upload(around, variant),
                       y = upload(around, variant);
            MPS::ImageBatch dx;
            run([&](const MTL::CommandBuffer& commands) {
                const auto states = pair.forward->resultStateBatch(source, {}, y);
                pair.forward->encodeBatch(commands, source, states, y);
                dx = pair.gradient->encodeBatch(commands, dy, source, states);
            });
            CHECK(reference::compare(download(dx),
                                     reference::gradient(k, g, reference::channels(x, 4, 5)),
                                     {variant.tolerance()}));
        }
}

TEST_CASE("whole factors whose results lie elsewhere, or are more or fewer, are upsampled too") {
    const Environment strips = inStrips();
    size_t turn = 0;
    for (const auto& [fx, fy] : factors)
        for (const std::ptrdiff_t offset : {-1, 0, 1})
            for (const std::ptrdiff_t more : {-1, 0, 1}) {
                Upsampling k = wholeOf(fx, fy, 6, 5);
                k.offsetX = offset;
                k.outputHeight = size_t(std::ptrdiff_t(k.outputHeight) + more);
                INFO(nameOf(k, 6, 5));
                const Tensor x = reference::random(2, 5, 6, 4, ++turn);
                const Tensor g =
                    reference::random(2, k.outputHeight, k.outputWidth, 4, 1000 + turn);
                for (const bool takesAll : {false, true}) {
                    const PairResult actual = both(k, upload(x), upload(g), {}, takesAll);
                    // Without the state, a clip rectangle leaves out the pixels before the offset.
                    CHECK(reference::compare(actual.dx, reference::gradient(k, g, x)));
                }
            }
    // Without a state an image that is larger gives more results, and one may begin before it.
    const Upsampling k = wholeOf(2, 2, 4, 3);
    const Tensor x = reference::random(1, 3, 4, 4, 5), g = reference::random(1, 6, 8, 4, 6);
    for (const auto& [left, top] : {std::pair{2, 1}, {0, 1}, {1, 0}, {-1, -1}}) {
        INFO("begins at " << left << ", " << top);
        Upsampling moved = k;
        moved.outputWidth = size_t(8 + left), moved.outputHeight = size_t(6 + top);
        Tensor results(1, moved.outputHeight, moved.outputWidth, 4, 0.0);
        for (size_t i = 0; i < moved.outputHeight; ++i)
            for (size_t j = 0; j < moved.outputWidth; ++j)
                for (size_t c = 0; c < 4; ++c)
                    if (int(i) >= top && int(j) >= left)
                        results.at(0, i, j, c) =
                            g.at(0, size_t(int(i) - top), size_t(int(j) - left), c);
        CHECK(reference::compare(placed(k, g, x, x, {-left, -top, 0}, {{}, {4, 3, 1}}),
                                 reference::gradient(moved, results, x)));
    }
}
