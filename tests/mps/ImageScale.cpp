#include "support/Conformance.hpp"
#include "support/EveryKernel.hpp"

#include <mpsvk/MPS/ImageScale.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <cmath>
#include <limits>
#include <numbers>

using namespace mpsvk;
using namespace mpsvk::MPS;
using namespace mpsvk::test;
using Catch::Matchers::ContainsSubstring;
using reference::Tensor;

namespace {

[[maybe_unused]] const bool named[] = {
    everyKernel([] {
        ImageBilinearScale made(testDevice());
        made.setScaleTransform(ScaleTransform{1.5, .75, .25, -1});
        return made;
    }),
    everyKernel([] {
        ImageLanczosScale made(testDevice());
        made.setScaleTransform(ScaleTransform{.5, 2, 1, .5});
        return made;
    }),
};

double lanczos(double d) {
    if (d == 0) return 1;
    if (std::abs(d) >= 3) return 0;
    const double x = std::numbers::pi * d;
    return std::sin(x) / x * std::sin(x / 3) / (x / 3);
}

/// Of every result pixel the sum over all source pixels far and wide, from the definition.
Tensor scaled(const Tensor& x, size_t width, size_t height, const ScaleTransform& t, bool sinc,
              double offsetX = 0, double offsetY = 0) {
    const auto axis = [&](size_t pixel, size_t size, double scale, double move, double offset) {
        std::vector<double> weights(size);
        const double at = offset + (double(pixel) + .5 - move) / scale - .5;
        const double unit = sinc ? std::max(1.0, 1 / std::abs(scale)) : 1;
        double sum = 0;
        for (int k = int(std::floor(at - 4 * unit)); k <= int(std::ceil(at + 4 * unit)); ++k) {
            const double d = (k - at) / unit;
            const double w = sinc ? lanczos(d) : std::max(0.0, 1 - std::abs(d));
            weights[size_t(std::clamp(k, 0, int(size) - 1))] += w;
            sum += w;
        }
        for (double& w : weights) w /= sum;
        return weights;
    };
    Tensor y(x.n, height, width, x.c);
    for (size_t row = 0; row < height; ++row)
        for (size_t column = 0; column < width; ++column) {
            const auto u = axis(column, x.w, t.scaleX, t.translateX, offsetX),
                       v = axis(row, x.h, t.scaleY, t.translateY, offsetY);
            for (size_t n = 0; n < x.n; ++n)
                for (size_t c = 0; c < x.c; ++c)
                    for (size_t j = 0; j < x.h; ++j)
                        for (size_t i = 0; i < x.w; ++i)
                            y.at(n, row, column, c) += v[j] * u[i] * x.at(n, j, i, c);
        }
    return y;
}

ScaleTransform whole(const Tensor& x, size_t width, size_t height) {
    return {double(width) / double(x.w), double(height) / double(x.h), 0, 0};
}

struct Both {
    ImageBilinearScale bilinear{testDevice()};
    ImageLanczosScale lanczos{testDevice()};
    template <class Visit> void each(Visit visit) {
        visit(bilinear, false);
        visit(lanczos, true);
    }
};

} // namespace

TEST_CASE("images scaled to a size equal the definition in every storage") {
    for (const Variant variant : variants())
        for (const auto& [width, height] :
             {std::array<size_t, 2>{1, 1}, {7, 5}, {14, 3}, {3, 13}, {10, 11}})
            Both().each([&, w = width, h = height](ImageScale& kernel, bool sinc) {
                INFO(kernel.className() << " " << variant.name() << " to " << w << "x" << h);
                const Tensor x =
                    reference::rounded(reference::random(2, 5, 7, 6, 1), variant.rounding());
                Guarded y(2, h, w, 6, variant);
                run([&](const MTL::CommandBuffer& commands) {
                    kernel.encodeBatch(commands, upload(x, variant), y.images());
                });
                CHECK(reference::compare(y.read(), scaled(x, w, h, whole(x, w, h), sinc),
                                         {variant.tolerance(), 1e-6}));
                conforms(kernel.className(), Aspect::Forward, variant);
            });
}

TEST_CASE("a scale transform places the source in the result") {
    const Tensor x = reference::random(2, 6, 5, 12, 2);
    for (const ScaleTransform t :
         {ScaleTransform{2, 3, 0, 0}, {1.5, .5, -2.25, 1}, {.3, .25, .5, .5}, {-1, 1, 5, -2}})
        Both().each([&](ImageScale& kernel, bool sinc) {
            kernel.setScaleTransform(t);
            kernel.setOffset({1, -2, 0});
            kernel.setClipRect({{1, 2, 0}, {4, 9, 1}});
            kernel.setSourceFeatureChannelOffset(4);
            kernel.setSourceFeatureChannelMaxCount(4);
            kernel.setDestinationFeatureChannelOffset(8);
            Tensor expected(2, 8, 7, 16, 3.0);
            const auto y = upload(expected);
            run([&](const MTL::CommandBuffer& commands) {
                kernel.encodeBatch(commands, upload(x), y);
            });
            reference::paste(expected, {1, 2}, 8,
                             scaled(reference::channels(x, 4, 4), 4, 6, t, sinc, 1, -2));
            CHECK(reference::compare(download(y), expected, {1e-5, 1e-6}));
        });
}

TEST_CASE("scaled rows have the documented numbers") {
    const auto row = upload(Tensor(1, 1, 3, 1, {1, 2, 4}));
    const auto scaledRow = [&](ImageScale& kernel, const ImageBatch& x, uint64_t width) {
        const ImageBatch y = upload(Tensor(1, 1, width, 1));
        run([&](const MTL::CommandBuffer& commands) { kernel.encodeBatch(commands, x, y); });
        return download(y).v;
    };
    Both both;
    CHECK(reference::compare(scaledRow(both.bilinear, row, 6), {1, 1.25, 1.75, 2.5, 3.5, 4}));
    CHECK(reference::compare(scaledRow(both.bilinear, row, 3), {1, 2, 4}));
    CHECK(reference::compare(scaledRow(both.lanczos, row, 3), {1, 2, 4}));
    // Weights sum up to 1, and a smaller image is made of all pixels.
    CHECK(reference::compare(scaledRow(both.lanczos, upload(Tensor(1, 1, 100, 1, 5.0)), 7),
                             std::vector<double>(7, 5.0)));
    Tensor stripes(1, 1, 96, 1);
    for (size_t i = 0; i < 96; ++i) stripes.v[i] = double(i % 2);
    const auto gray = scaledRow(both.lanczos, upload(stripes), 12);
    for (size_t i = 2; i < 10; ++i) CHECK(std::abs(gray[i] - .5) < .01);
    // What has no weight does not count, be it no number.
    const double infinity = std::numeric_limits<double>::infinity();
    CHECK(scaledRow(both.bilinear, upload(Tensor(1, 1, 3, 1, {1, infinity, 2})), 3) ==
          std::vector<double>{1, infinity, 2});
}

TEST_CASE("an encode that returns its image makes it as large as the transform says") {
    ImageLanczosScale kernel(testDevice());
    CHECK_FALSE(kernel.scaleTransform());
    const auto d = [&] {
        return kernel.destinationImageDescriptor({upload(reference::random(1, 6, 5, 3, 1))[0]});
    };
    CHECK(d().width() == 5);
    CHECK(d().height() == 6);
    kernel.setScaleTransform(ScaleTransform{2.5, .1, 0, 0});
    CHECK(d().width() == 12);
    CHECK(d().height() == 1);
    CHECK(kernel.copy(testDevice()).scaleTransform()->scaleX == 2.5);
}

TEST_CASE("misuse of scaling is refused with a sentence") {
    const auto x = upload(reference::random(1, 6, 5, 3, 1));
    const auto refused = [&](const ScaleTransform& t) {
        ImageBilinearScale kernel(testDevice());
        kernel.setLabel("fit");
        kernel.setScaleTransform(t);
        const auto commands = testQueue().commandBuffer();
        return refusal([&] { kernel.encodeBatch(commands, x, upload(Tensor(1, 2, 2, 3))); });
    };
    CHECK_THAT(refused({0, 1, 0, 0}), ContainsSubstring("[ImageBilinearScale \"fit\"] The scale in "
                                                        "x is 0.000000 and the translation"));
    CHECK_THAT(refused({1, std::nan(""), 0, 0}), ContainsSubstring("The scale in y is nan"));
    CHECK_THAT(refused({1, 1, 0, 1e30}), ContainsSubstring("further than 2^30 pixels away"));
    conforms("ImageBilinearScale", Aspect::Misuse);
    conforms("ImageLanczosScale", Aspect::Misuse);
}
