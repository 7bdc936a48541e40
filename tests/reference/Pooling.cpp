#include "support/reference/Pooling.hpp"
#include "support/GradientCheck.hpp"

#include <catch2/catch_test_macros.hpp>

#include <cmath>
#include <random>

using namespace mpsvk::reference;

namespace {

Tensor row(std::vector<double> values) {
    const std::size_t width = values.size();
    return {1, 1, width, 1, std::move(values)};
}

Pooling rowPooling(PoolingType type, EdgeMode edge, std::size_t zeroPad = 0) {
    Pooling k;
    k.type = type;
    k.kernelWidth = 3;
    k.strideX = 2;
    k.outputWidth = 3;
    k.edge = edge;
    k.zeroPadX = zeroPad;
    return k;
}

Pooling randomPooling(std::uint32_t seed, Tensor& source) {
    std::mt19937 numbers(seed);
    const auto pick = [&](int low, int high) {
        return low + static_cast<int>(numbers() % static_cast<unsigned>(high - low + 1));
    };
    Pooling k;
    k.type = static_cast<PoolingType>(pick(0, 2));
    k.kernelWidth = pick(1, 4);
    k.kernelHeight = pick(1, 4);
    k.strideX = pick(1, 3);
    k.strideY = pick(1, 3);
    if (k.type == PoolingType::Max) {
        k.dilationX = pick(1, 3);
        k.dilationY = pick(1, 2);
    }
    k.zeroPadX = pick(0, 2);
    k.zeroPadY = pick(0, 2);
    k.offsetX = pick(-3, 5);
    k.offsetY = pick(-3, 5);
    k.edge = pick(0, 1) ? EdgeMode::Clamp : EdgeMode::Zero;
    k.outputWidth = pick(1, 4);
    k.outputHeight = pick(1, 4);
    source = distinct(pick(1, 2), pick(1, 6), pick(1, 6), pick(1, 3), seed + 1, -1, 1.21);
    return k;
}

Tensor transposed(const Tensor& t) {
    Tensor result(t.n, t.w, t.h, t.c);
    for (std::size_t i = 0; i < t.size(); ++i) {
        const std::size_t pixel = i / t.c;
        result.at(pixel / (t.w * t.h), pixel % t.w, pixel / t.w % t.h, i % t.c) = t.v[i];
    }
    return result;
}

Pooling transposed(Pooling k) {
    std::swap(k.kernelWidth, k.kernelHeight);
    std::swap(k.strideX, k.strideY);
    std::swap(k.dilationX, k.dilationY);
    std::swap(k.zeroPadX, k.zeroPadY);
    std::swap(k.offsetX, k.offsetY);
    std::swap(k.outputWidth, k.outputHeight);
    return k;
}

const Tensor steps = row({1, 10, 100});
const Tensor ramp = row({1, 2, 3, 4, 5});
const Tensor hills = row({-3, -1, -1, 4, 2});
const Tolerance printed{.relative = 5e-6};

} // namespace

TEST_CASE("Pooling gives the published values", "[reference]") {
    struct Row {
        Pooling k;
        Tensor source, g;
        std::vector<double> y, dx;
    };
    const double third = 1.0 / 3;
    const auto average = PoolingType::Average, max = PoolingType::Max;
    const std::vector<double> padded{third, 11 * third, 10 * third, 110 * third, 100 * third};
    const Row rows[] = {
        {rowPooling(average, EdgeMode::Zero), ramp, steps, {1, 3, 3}, padded},
        {rowPooling(average, EdgeMode::Clamp),
         ramp,
         steps,
         {1.5, 3, 4.5},
         {0.5, 0.5 + 10 * third, 10 * third, 50 + 10 * third, 50}},
        {rowPooling(average, EdgeMode::Clamp, 1), ramp, steps, {1, 3, 3}, padded},
        {rowPooling(max, EdgeMode::Zero), hills, steps, {0, 4, 4}, {0, 0, 0, 110, 0}},
        {rowPooling(max, EdgeMode::Clamp), hills, steps, {-1, 4, 4}, {0, 1, 0, 110, 0}},
        {rowPooling(PoolingType::L2Norm, EdgeMode::Zero),
         ramp,
         row({1, 1, 1}),
         {2.23607, 5.38516, 6.40312},
         {0.447214, 1.26582, 0.557086, 1.36748, 0.780869}},
    };
    for (const Row& r : rows) {
        CHECK(compare(forward(r.k, r.source), row(r.y), printed));
        CHECK(compare(gradient(r.k, r.g, r.source), row(r.dx), printed));
    }
    Pooling even = rowPooling(max, EdgeMode::Clamp);
    even.kernelWidth = 2;
    even.offsetX = 1;
    even.outputWidth = 2;
    CHECK(forward(even, hills).v == std::vector<double>{-1, 4});
    CHECK(gradient(even, row({1, 10}), hills).v == std::vector<double>{0, 1, 0, 10, 0});

    Pooling dilated = even;
    dilated.dilationX = 3;
    dilated.strideX = 1;
    dilated.offsetX = 2;
    const Tensor source = row({1, 5, 2, 7, 3, 9});
    CHECK(forward(dilated, source).v == std::vector<double>{7, 5});
    CHECK(gradient(dilated, row({1, 10}), source).v == std::vector<double>{0, 10, 0, 1, 0, 0});
}

TEST_CASE("A dilated maximum leaves out the taps outside a clamped image", "[reference]") {
    Pooling k;
    k.kernelWidth = 2;
    k.dilationX = 2; // the extent 3: taps at -1 and +1
    k.edge = EdgeMode::Clamp;
    k.outputWidth = 3;
    const Tensor source = row({9, 1, 2});
    CHECK(forward(k, source).v == std::vector<double>{1, 9, 1});
    CHECK(gradient(k, row({1, 10, 100}), source).v == std::vector<double>{10, 101, 0});
}

TEST_CASE("One position wins a tie, and the image wins against zeros outside", "[reference]") {
    Pooling k;
    k.kernelWidth = k.kernelHeight = 2;
    k.offsetX = k.offsetY = 1;
    const Tensor ties(1, 2, 2, 1, {3, 7, 7, 7});
    CHECK(gradient(k, Tensor(1, 1, 1, 1, 1.0), ties).v == std::vector<double>{0, 1, 0, 0});
    Pooling wide = rowPooling(PoolingType::Max, EdgeMode::Zero);
    wide.outputWidth = 1;
    CHECK(gradient(wide, row({1}), row({-1, 0, 5})).v == std::vector<double>{0, 1, 0});
    CHECK(gradient(wide, row({1}), row({-1, -2, 5})).v == std::vector<double>{0, 0, 0});
    wide.offsetX = 1;
    CHECK(forward(wide, row({NAN, -4, NAN})).v == std::vector<double>{-4});
    CHECK(std::isnan(forward(wide, row({NAN, NAN, NAN})).v[0]));
}

TEST_CASE("Pooling gradients are the derivatives of pooling", "[reference]") {
    for (std::uint32_t seed = 1; seed <= 400; ++seed) {
        Tensor source;
        const Pooling k = randomPooling(seed * 7907, source);
        const Tensor cotangent = randomLike(forward(k, source), seed);
        INFO("seed " << seed << ", type " << static_cast<int>(k.type));
        CHECK(checkGradient([&](const Tensor& x) { return dot(forward(k, x), cotangent); }, source,
                            gradient(k, cotangent, source), {.samples = 24, .kinks = {0}}));
    }
}

TEST_CASE("Pooling treats rows as columns", "[reference]") {
    for (std::uint32_t seed = 1; seed <= 100; ++seed) {
        Tensor source;
        const Pooling k = randomPooling(seed * 6007, source);
        const Tensor g = randomLike(forward(k, source), seed);
        const Pooling turned = transposed(k);
        const Tensor turnedSource = transposed(source);
        INFO("seed " << seed << ", type " << static_cast<int>(k.type));
        const Tolerance exact{.relative = 1e-14};
        CHECK(compare(forward(turned, turnedSource), transposed(forward(k, source)), exact));
        CHECK(compare(gradient(turned, transposed(g), turnedSource),
                      transposed(gradient(k, g, source)), exact));
    }
}

TEST_CASE("A pooling gradient configured by hand equals the derivative", "[reference]") {
    Pooling k = rowPooling(PoolingType::Average, EdgeMode::Zero);
    k.offsetX = 1;
    k.outputWidth = 2;
    const Tensor whole = gradient(k, row({1, 10}), ramp);
    Tensor destination = row({7, 7, 7, 7, 7, 7});
    // The gradient lies at 2 in its image; window 0 starts at pixel 0.
    gradient(k, {.primaryOffsetX = 2, .sourceWidth = 2, .clip = {.x = 1, .width = 4}},
             row({5, 5, 1, 10, 5}), ramp, destination);
    CHECK(destination.v ==
          std::vector<double>{7, whole.v[0], whole.v[1], whole.v[2], whole.v[3], 7});

    k.offsetX = 3; // window 0 starts at pixel 2
    k.outputWidth = 1;
    gradient(k, {}, row({3}), ramp, destination);
    CHECK(destination.v == std::vector<double>{1, 1, 1, 0, 0, 0});
}
