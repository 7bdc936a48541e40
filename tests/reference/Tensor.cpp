#include "support/reference/Tensor.hpp"
#include "support/GradientCheck.hpp"

#include <catch2/catch_test_macros.hpp>

#include <cmath>

using namespace mpsvk::reference;

using Values = std::vector<double>;

TEST_CASE("Values round as storage rounds them", "[reference]") {
    const auto half = [](double value) { return rounded(value, Storage::Float16); };
    CHECK(half(1.0 / 3) == 0x1.554p-2);
    CHECK(half(1 + 0x1p-11) == 1); // ties to even
    CHECK(half(1 + 3 * 0x1p-11) == 1 + 0x1p-9);
    CHECK(half(-65519.99) == -65504);
    CHECK(half(65520) == HUGE_VAL);
    CHECK(half(0x1p-24) == 0x1p-24);
    CHECK(half(0x1p-25) == 0);
    CHECK(half(0x1.8p-25) == 0x1p-24);
    CHECK(half(0x1.ffcp-15) == 0x1p-14); // from subnormal to normal
    CHECK(std::isnan(half(NAN)));
    CHECK(rounded(0.1, Storage::Float32) == static_cast<double>(0.1f));
    CHECK(rounded(0.5, Storage::Unorm8) == 128.0 / 255);
    CHECK(rounded(-3, Storage::Unorm8) == 0);
    CHECK(rounded(3, Storage::Unorm8) == 1);
    CHECK(rounded(NAN, Storage::Unorm8) == 0);
    for (int bits = 0; bits < 2048; ++bits) { // all of two binades are their own rounding
        const double value = std::ldexp(1024 + bits % 1024, -20 + bits / 1024);
        CHECK(half(value) == value);
        CHECK(half(value * (1 + 0x1p-13)) == value);
    }
}

TEST_CASE("Regions are cut out and put back", "[reference]") {
    const Tensor source(1, 2, 3, 1, {1, 2, 3, 4, 5, 6});
    CHECK(crop(source, {1, 0}).v == Values{2, 3, 5, 6});
    CHECK(crop(source, {-1, 1, 3, 2}).v == Values{0, 4, 5, 0, 0, 0});
    Tensor destination(1, 2, 3, 2);
    paste(destination, {1, 1, 1, 9}, 1, source);
    CHECK(destination.v == Values{0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0});
    paste(destination, {2, 0}, 0, source);
    CHECK(destination.v == Values{0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 4, 0});
    CHECK(channels(destination, 1, 1).v == Values{0, 0, 0, 0, 1, 0});
    CHECK(image(stack({source, absolute(source)}), 1).v == source.v);
    CHECK(resolve(-2, 3, EdgeMode::Clamp) == 0);
    CHECK(resolve(5, 3, EdgeMode::Clamp) == 2);
    CHECK(resolve(3, 3, EdgeMode::Zero) == -1);
}

TEST_CASE("Random values repeat, cover their range, and can be distinct", "[reference]") {
    const Tensor a = random(2, 5, 5, 20, 1), b = random(2, 5, 5, 20, 1),
                 d = distinct(1, 5, 5, 4, 1);
    CHECK(a.v == b.v);
    CHECK(a.v != random(2, 5, 5, 20, 2).v);
    CHECK(std::abs(dot(a, Tensor(2, 5, 5, 20, 1e-3))) < 0.1);
    for (std::size_t i = 0; i < d.size(); ++i) {
        CHECK(std::abs(d.v[i]) < 1);
        for (std::size_t j = 0; j < i; ++j) {
            CHECK(std::abs(d.v[i] - d.v[j]) > 1.99 / 100);
        }
    }
}

TEST_CASE("A comparison finds the worst element and says so", "[reference]") {
    const Tensor expected(1, 2, 2, 1, {1, -10, 3, 4});
    Tensor actual = expected;
    CHECK(compare(actual, expected, {.relative = 0}));
    actual.at(0, 1, 0, 0) += 2e-3;
    actual.at(0, 0, 1, 0) += 1e-3;
    CHECK(compare(actual, expected, {.relative = 3e-4}));
    const Comparison c = compare(actual, expected, {.relative = 1e-4});
    CHECK_FALSE(c);
    CHECK(c.index == 2);
    CHECK(c.text.find("(image 0, y 1, x 0, channel 0): got 3.002, expected 3") != c.text.npos);
    const Tensor magnitude(1, 2, 2, 1, {1, 1, 100, 1});
    CHECK(compare(actual, expected, {.relative = 1.001e-3, .magnitude = &magnitude}));
    CHECK_FALSE(compare(actual, expected, {.relative = 0.9e-3, .magnitude = &magnitude}));
    actual.v[0] = NAN;
    CHECK_FALSE(compare(actual, expected, {.relative = 1e9}));
    CHECK_FALSE(compare(Tensor(1, 2, 1, 2), expected, {.relative = 1e9}));
    CHECK(compare({NAN, HUGE_VAL}, {NAN, HUGE_VAL}));
    CHECK_FALSE(compare({HUGE_VAL}, {1}));
    CHECK_FALSE(compare({-HUGE_VAL}, {HUGE_VAL}));
    CHECK_FALSE(compare({1e-30}, {0})); // nothing is allowed next to zeros
}

TEST_CASE("A gradient check tells right from wrong", "[reference]") {
    const Tensor x = random(1, 4, 4, 3, 1);
    const ScalarFunction f = [](const Tensor& t) { return dot(t, t); };
    Tensor dx = x;
    for (double& value : dx.v) {
        value *= 2;
    }
    CHECK(checkGradient(f, x, dx, {.samples = 1000}));
    CHECK(checkGradient(f, x, dx, {.samples = 7}).checked == 7);
    Tensor wrong = dx;
    wrong.v[17] += 1e-3;
    CHECK_FALSE(checkGradient(f, x, wrong, {.samples = 1000}));
    CHECK(checkGradient(f, x, wrong, {.samples = 1000, .kinks = {x.v[17]}}));
    CHECK_FALSE(checkGradient(f, x, dx, {.excluded = [](std::size_t) { return true; }}));
    wrong.v[17] = NAN;
    CHECK_FALSE(checkGradient(f, x, wrong, {.samples = 1000}));
}
