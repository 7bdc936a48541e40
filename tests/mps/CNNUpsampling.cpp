#include "mps/UpsamplingKernels.hpp"

#include "support/Conformance.hpp"

#include <catch2/catch_test_macros.hpp>

#include <array>
#include <cmath>
#include <limits>

using namespace mpsvk;
using namespace mpsvk::test;

namespace {

const auto zero = reference::EdgeMode::Zero, clamp = reference::EdgeMode::Clamp;

Upsampling nearestOf(size_t x, size_t y, size_t w, size_t h) {
    Upsampling k{false, double(x), double(y)};
    k.outputWidth = w * x, k.outputHeight = h * y;
    return k;
}

Upsampling bilinearOf(double x, double y, bool alignCorners, size_t w, size_t h) {
    Upsampling k{true, x, y, alignCorners};
    k.outputWidth = size_t(double(w) * x), k.outputHeight = size_t(double(h) * y);
    return k;
}

/// For a source of 7 x 5.
std::vector<Upsampling> upsamplings() {
    std::vector<Upsampling> all = {nearestOf(2, 2, 7, 5), nearestOf(3, 1, 7, 5),
                                   nearestOf(1, 4, 7, 5)};
    for (const bool align : {false, true}) {
        const std::pair<double, double> factors[] = {{2, 2},    {1, 3},       {1.5, 2.25},
                                                     {.5, 1.1}, {1 / 3., 10}, {M_SQRT2, .7}};
        for (const auto& [x, y] : factors) all.push_back(bilinearOf(x, y, align, 7, 5));
    }
    // Placed elsewhere, and more or fewer results than there would be.
    for (Upsampling k : {all[0], all[3], all[5], all[11]})
        for (const auto edge : {zero, clamp}) {
            k.edge = edge;
            k.offsetX = -2, k.offsetY = 3;
            k.outputWidth += 6, k.outputHeight -= 1;
            all.push_back(k);
        }
    return all;
}

std::string nameOf(const Upsampling& k) {
    return (k.bilinear ? "bilinear " : "nearest ") + std::to_string(k.scaleX) + " x " +
           std::to_string(k.scaleY) + (k.alignCorners ? " aligned" : "") +
           (k.edge == clamp ? " Clamp" : "") + " offset " + std::to_string(k.offsetX);
}

} // namespace

TEST_CASE("upsampling and its gradient equal the reference in every geometry and storage") {
    size_t turn = 0;
    for (const Variant variant : variants())
        for (const Upsampling& k : upsamplings()) {
            const size_t channels = std::array{1, 3, 4, 5, 8, 18}[turn++ % 6];
            INFO(variant.name() << ", " << nameOf(k) << ", " << channels << " channels");
            const Tensor x =
                reference::rounded(reference::random(2, 5, 7, channels, turn), variant.rounding());
            const Tensor g = reference::rounded(
                reference::random(2, k.outputHeight, k.outputWidth, channels, 1000 + turn),
                variant.rounding());
            const auto source = upload(x, variant), dy = upload(g, variant);
            const Tensor y = forward(k, x), dx = gradient(k, g, x);
            for (const bool takesAll : {false, true}) {
                INFO("taking all from the state: " << takesAll);
                const PairResult actual = both(k, source, dy, variant, takesAll);
                CHECK(reference::compare(actual.y, y, {variant.tolerance()}));
                CHECK(reference::compare(actual.dx, dx, {variant.tolerance()}));
            }
            const std::string name = pairOf(k, false).forward->className();
            conforms(name, Aspect::Forward, variant);
            conforms(name + "Gradient", Aspect::Gradient, variant);
        }
}

TEST_CASE("upsampling gradients are transposes for many sizes and factors") {
    const double factors[] = {2, 3, 1.5, 2.25, .5, .3, 1.1, 7, M_PI};
    size_t turn = 0;
    for (const size_t width : {1, 2, 3, 8, 61})
        for (const double factor : factors)
            for (const bool align : {false, true}) {
                const size_t height = 2 + turn % 4;
                if (double(width) * factor < 1 || double(height) * factor < 1) continue;
                ++turn;
                const Upsampling k = bilinearOf(factor, factor, align, width, height);
                INFO(width << "x" << height << ", " << nameOf(k));
                const Tensor x = reference::random(1, height, width, 3, turn);
                const Tensor g =
                    reference::random(1, k.outputHeight, k.outputWidth, 3, 1000 + turn);
                const PairResult actual = both(k, upload(x), upload(g), {}, true);
                const double scale = dot(reference::absolute(actual.y), reference::absolute(g));
                CHECK(std::abs(dot(actual.y, g) - dot(x, actual.dx)) < 2e-6 * scale);
                CHECK(reference::compare(actual.y, forward(k, x)));
                CHECK(reference::compare(actual.dx, gradient(k, g, x)));
            }
}

TEST_CASE("positions far along a wide image are exact") {
    for (const double factor : {3., 1.1, M_SQRT2}) {
        INFO("factor " << factor);
        const Upsampling k = bilinearOf(factor, 1, false, 5000, 1);
        const Tensor x = reference::random(1, 1, 5000, 1, 3);
        const Tensor g = reference::random(1, 1, k.outputWidth, 1, 4);
        const PairResult actual = both(k, upload(x), upload(g), {}, true);
        CHECK(reference::compare(actual.y, forward(k, x)));
        CHECK(reference::compare(actual.dx, gradient(k, g, x)));
    }
    const Upsampling aligned = bilinearOf(2, 1, true, 5000, 1);
    const Tensor x = reference::random(1, 1, 5000, 1, 3);
    const Tensor g = reference::random(1, 1, aligned.outputWidth, 1, 4);
    const PairResult actual = both(aligned, upload(x), upload(g), {}, true);
    CHECK(reference::compare(actual.y, forward(aligned, x)));
    CHECK(reference::compare(actual.dx, gradient(aligned, g, x)));
}

TEST_CASE("upsampling of one row gives the documented numbers") {
    const Tensor x(1, 1, 3, 1, {1, 2, 4}), g(1, 1, 6, 1, {1, 2, 3, 4, 5, 6});
    const auto check = [&](const Upsampling& k, const std::vector<double>& y,
                           const std::vector<double>& dx) {
        const PairResult actual = both(k, upload(x), upload(g), {}, true);
        CHECK(reference::compare(actual.y.v, y, {1e-6}));
        CHECK(reference::compare(actual.dx.v, dx, {1e-6}));
    };
    check(bilinearOf(2, 1, false, 3, 1), {1, 1.5, 2, 3, 4, 4}, {2, 6, 13});
    check(bilinearOf(2, 1, true, 3, 1), {1, 1.4, 1.8, 2.4, 3.2, 4}, {2.8, 8.4, 9.8});
    check(nearestOf(2, 1, 3, 1), {1, 1, 2, 2, 4, 4}, {3, 7, 11});
}

TEST_CASE("a factor of 1 copies, infinities too") {
    const double infinity = std::numeric_limits<double>::infinity();
    const Tensor x(1, 2, 3, 1, {1, infinity, -2, -infinity, 0, 5});
    for (const Upsampling& k :
         {nearestOf(1, 1, 3, 2), bilinearOf(1, 1, false, 3, 2), bilinearOf(1, 1, true, 3, 2)}) {
        const PairResult actual = both(k, upload(x), upload(x), {}, true);
        CHECK(actual.y.v == x.v);
        CHECK(actual.dx.v == x.v);
    }
}

TEST_CASE("upsampling of a batch does not depend on where its images lie") {
    for (const Upsampling& k : {nearestOf(2, 3, 7, 5), bilinearOf(1.5, 2, false, 7, 5)}) {
        const Tensor x = reference::random(5, 5, 7, 5, 3);
        const Tensor g = reference::random(5, k.outputHeight, k.outputWidth, 5, 4);
        const PairResult together = both(k, upload(x), upload(g), {}, true);
        const PairResult apart = both(k, uploadApart(x), uploadApart(g), {}, true);
        const PairResult again = both(k, upload(x), upload(g), {}, true);
        const PairResult one =
            both(k, upload(reference::image(x, 3)), upload(reference::image(g, 3)), {}, true);
        CHECK(together.y.v == apart.y.v);
        CHECK(together.dx.v == apart.dx.v);
        CHECK(together.dx.v == again.dx.v);
        CHECK(reference::image(together.y, 3).v == one.y.v);
        CHECK(reference::image(together.dx, 3).v == one.dx.v);
    }
}

TEST_CASE("upsampling gradients are the slopes of upsampling between two neurons") {
    for (const Upsampling& k : {nearestOf(2, 3, 7, 5), bilinearOf(1.5, 2, false, 7, 5),
                                bilinearOf(2, 2.25, true, 7, 5)}) {
        INFO(nameOf(k));
        reference::GradientCheckOptions options;
        options.step = 1e-2;
        options.tolerance = 4e-3;
        options.samples = 12;
        CHECK(checkBetweenNeurons(pairOf(k, false), reference::random(1, 5, 7, 3, 13, -2, 2),
                                  reference::random(1, k.outputHeight, k.outputWidth, 3, 14),
                                  options));
    }
}
