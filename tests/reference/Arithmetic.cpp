#include "support/reference/Arithmetic.hpp"
#include "support/GradientCheck.hpp"

#include <catch2/catch_test_macros.hpp>

#include <cmath>

using namespace mpsvk::reference;

namespace {

using Values = std::vector<double>;

constexpr ArithmeticOperation allOperations[] = {
    ArithmeticOperation::Add, ArithmeticOperation::Subtract, ArithmeticOperation::Multiply,
    ArithmeticOperation::Divide};

Tensor pixel(Values values) {
    const std::size_t count = values.size();
    return {1, 1, 1, count, std::move(values)};
}

Arithmetic arithmetic(ArithmeticOperation operation) {
    Arithmetic a;
    a.operation = operation;
    a.primary.scale = 2;
    a.secondary.scale = 0.5;
    a.bias = 10;
    a.outputHeight = 2;
    a.outputWidth = 3;
    a.outputChannels = 4;
    return a;
}

// Bits 0-2: no broadcast along x, y, channels.
Tensor operand(Operand& o, int bits, std::uint64_t seed) {
    o.strideX = bits & 1;
    o.strideY = bits >> 1 & 1;
    o.strideChannels = bits >> 2 & 1;
    o.offsetX = 1;
    return random(2, o.strideY ? 2 : 1, o.strideX ? 4 : 2, o.strideChannels ? 4 : 1, seed, 0.5, 2);
}

} // namespace

TEST_CASE("Arithmetic scales inside the operation and adds the bias after it", "[reference]") {
    const Tensor x = pixel({1, 2, 3, 4}), y = pixel({4, 3, 2, 1});
    const auto result = [&](ArithmeticOperation operation) {
        Arithmetic a = arithmetic(operation);
        a.outputHeight = a.outputWidth = 1;
        return forward(a, x, y).v;
    };
    CHECK(result(ArithmeticOperation::Add) == Values{14, 15.5, 17, 18.5});
    CHECK(result(ArithmeticOperation::Subtract) == Values{10, 12.5, 15, 17.5});
    CHECK(result(ArithmeticOperation::Multiply) == Values{14, 16, 16, 14});
    CHECK(result(ArithmeticOperation::Divide) == Values{11, 10 + 4 / 1.5, 16, 26});

    Arithmetic clamped;
    clamped.outputChannels = 4;
    clamped.minimum = 4.5;
    clamped.maximum = 6;
    CHECK(forward(clamped, x, pixel({1, 4, 0, NAN})).v[1] == 6);
    CHECK(forward(clamped, x, pixel({1, 4, 0, NAN})).v[2] == 4.5);
    CHECK(std::isnan(forward(clamped, x, pixel({1, 4, 0, NAN})).v[3]));
    CHECK(clampMask(clamped, x, pixel({3.5, 4, 2, 1.5})).v == Values{0, 0, 1, 1});
    const Arithmetic plain{.outputChannels = 4};
    CHECK(forward(plain, x, pixel({HUGE_VAL, 0, 0, 0})).v[0] == HUGE_VAL);
}

TEST_CASE("Comparisons give one or zero", "[reference]") {
    const Tensor x = pixel({1, 2, 3, NAN}), y = pixel({2, 2, 2, 2});
    const Arithmetic geometry{.outputChannels = 4};
    const auto result = [&](ComparisonType type, double threshold) {
        return compareElements(type, threshold, geometry, x, y).v;
    };
    CHECK(result(ComparisonType::Equal, 0) == Values{0, 1, 0, 0});
    CHECK(result(ComparisonType::Equal, 1) == Values{1, 1, 1, 0});
    CHECK(result(ComparisonType::NotEqual, 0) == Values{1, 0, 1, 1});
    CHECK(result(ComparisonType::Less, 5) == Values{1, 0, 0, 0});
    CHECK(result(ComparisonType::LessOrEqual, 0) == Values{1, 1, 0, 0});
    CHECK(result(ComparisonType::Greater, 0) == Values{0, 0, 1, 0});
    CHECK(result(ComparisonType::GreaterOrEqual, 0) == Values{0, 1, 1, 0});
}

TEST_CASE("Arithmetic gradients are the derivatives under every broadcast", "[reference]") {
    for (ArithmeticOperation operation : allOperations) {
        for (int bits = 0; bits < 64; ++bits) {
            Arithmetic a = arithmetic(operation);
            const Tensor x = operand(a.primary, bits & 7, 3),
                         y = operand(a.secondary, bits >> 3, 4);
            if (bits % 3 == 0) {
                a.minimum = 10.5;
                a.maximum = 13;
            }
            const Tensor g = randomLike(forward(a, x, y), 5);
            INFO("operation " << static_cast<int>(operation) << ", strides " << bits);
            const GradientCheckOptions few{.step = 1e-6, .tolerance = 1e-6, .samples = 12};
            CHECK(checkGradient([&](const Tensor& t) { return dot(forward(a, t, y), g); }, x,
                                gradient(a, g, x, y, false), few));
            CHECK(checkGradient([&](const Tensor& t) { return dot(forward(a, x, t), g); }, y,
                                gradient(a, g, x, y, true), few));
        }
    }
}

TEST_CASE("Gradient kernels with the published settings give the derivatives", "[reference]") {
    const Tensor x = random(2, 2, 3, 4, 1), y = random(2, 1, 3, 1, 2), g = random(2, 2, 3, 4, 3);
    Arithmetic a = arithmetic(ArithmeticOperation::Multiply);
    a.secondary.strideY = a.secondary.strideChannels = 0;
    const double p = a.primary.scale, s = a.secondary.scale;
    const Tolerance exact{.relative = 1e-14};

    ArithmeticGradientKernel first{.multiply = true, .primaryScale = p, .secondary = a.secondary};
    CHECK(compare(forward(first, g, y), gradient(a, g, x, y, false), exact));
    ArithmeticGradientKernel second{.multiply = true, .primaryScale = p};
    second.secondary.scale = s;
    second.sumRows = second.sumChannels = true;
    CHECK(compare(forward(second, g, x), gradient(a, g, x, y, true), exact));

    a.operation = ArithmeticOperation::Subtract;
    ArithmeticGradientKernel minus{.primaryScale = -s, .sumRows = true, .sumChannels = true};
    CHECK(compare(forward(minus, g, y), gradient(a, g, x, y, true), exact));
    CHECK(compare(forward({.primaryScale = p}, g, x), gradient(a, g, x, y, false), exact));
}
