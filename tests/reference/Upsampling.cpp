#include "support/reference/Upsampling.hpp"

#include <catch2/catch_test_macros.hpp>

#include <cmath>
#include <random>

using namespace mpsvk::reference;

namespace {

Tensor row(std::vector<double> values) {
    const std::size_t width = values.size();
    return {1, 1, width, 1, std::move(values)};
}

Upsampling rowOf(bool bilinear, double scale, std::size_t width) {
    Upsampling k;
    k.bilinear = bilinear;
    k.scaleX = scale;
    k.outputWidth = width;
    return k;
}

const Tolerance exact{.relative = 1e-14};

} // namespace

TEST_CASE("Upsampling gives the published values", "[reference]") {
    const Tensor x = row({1, 2, 4}), g = row({1, 2, 3, 4, 5, 6});
    Upsampling k = rowOf(true, 2, 6);
    CHECK(forward(k, x).v == std::vector<double>{1, 1.5, 2, 3, 4, 4});
    CHECK(gradient(k, g, x).v == std::vector<double>{2, 6, 13});
    k.alignCorners = true;
    CHECK(compare(forward(k, x), row({1, 1.4, 1.8, 2.4, 3.2, 4}), exact));
    CHECK(compare(gradient(k, g, x), row({2.8, 8.4, 9.8}), exact));
    const Upsampling nearest = rowOf(false, 2, 6);
    CHECK(forward(nearest, x).v == std::vector<double>{1, 1, 2, 2, 4, 4});
    CHECK(gradient(nearest, g, x).v == std::vector<double>{3, 7, 11});
}

TEST_CASE("Upsampling follows fractional factors, offsets and edges", "[reference]") {
    const Tensor x = row({1, 2, 4});
    Upsampling k = rowOf(true, 1.5, 4);
    CHECK(compare(forward(k, x), row({1, 1 + 2 / 3., 2 + 2 / 3., 4}), exact));
    CHECK(forward(rowOf(true, 0.5, 1), x).v == std::vector<double>{1});
    k.offsetX = -1;
    CHECK(compare(forward(k, x), row({1, 1, 1 + 1 / 3., 2}), exact));
    Upsampling nearest = rowOf(false, 2, 4);
    nearest.offsetX = 2;
    CHECK(forward(nearest, x).v == std::vector<double>{4, 4, 0, 0});
    nearest.edge = EdgeMode::Clamp;
    CHECK(forward(nearest, x).v == std::vector<double>{4, 4, 4, 4});
}

TEST_CASE("Upsampling gradients are the transposes of upsampling", "[reference]") {
    for (std::uint32_t seed = 1; seed <= 300; ++seed) {
        std::mt19937 numbers(seed * 7907);
        const auto pick = [&](int low, int high) {
            return low + static_cast<int>(numbers() % static_cast<unsigned>(high - low + 1));
        };
        Upsampling k;
        k.bilinear = pick(0, 2) > 0;
        const auto factor = [&] { return k.bilinear ? pick(1, 12) / 4. : pick(1, 4); };
        k.scaleX = factor();
        k.scaleY = factor();
        k.alignCorners = k.bilinear && pick(0, 1);
        k.offsetX = pick(-2, 2);
        k.offsetY = pick(-2, 2);
        k.edge = pick(0, 1) ? EdgeMode::Clamp : EdgeMode::Zero;
        k.outputWidth = pick(1, 9);
        k.outputHeight = pick(1, 9);
        const Tensor x = random(2, pick(1, 5), pick(1, 5), 2, seed);
        const Tensor g = randomLike(forward(k, x), seed + 1);
        const double forwards = dot(forward(k, x), g), backwards = dot(x, gradient(k, g, x));
        INFO("seed " << seed);
        CHECK(std::abs(forwards - backwards) < 1e-12);
    }
}
