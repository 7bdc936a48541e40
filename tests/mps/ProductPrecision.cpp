// Products of fp32 are as exact as sums in fp32, also where their operands are split in three bf16.
#include "mps/DeviceTable.hpp"
#include "mtl/Device.hpp"
#include "support/Matrices.hpp"

#include <mpsvk/MPS/MatrixMultiplication.hpp>

#include <catch2/catch_test_macros.hpp>

#include <cmath>

using namespace mpsvk;
using namespace mpsvk::test;

namespace {

constexpr auto single = MPS::DataType::Float32;

bool splits() { return mps::splitsFloats(mps::tileLimits(*testDevice().impl().vk).processor); }

struct Sizes {
    size_t rows, columns, interior;
};

Values product(const Sizes& s, const Values& a, const Values& b) {
    const MPS::Matrix result = matrixOf(Values(s.rows * s.columns), s.rows, s.columns, single);
    MPS::MatrixMultiplication kernel(testDevice(), s.rows, s.columns, s.interior);
    run([&](const MTL::CommandBuffer& commands) {
        kernel.encode(commands, matrixOf(a, s.rows, s.interior, single),
                      matrixOf(b, s.interior, s.columns, single), result);
    });
    return valuesOf(result);
}

/// The root mean square of the differences by that of the expected values.
double relativeError(const Sizes& s, const Values& a, const Values& b) {
    const Values actual = product(s, a, b);
    double error = 0, size = 0;
    for (size_t y = 0; y < s.rows; ++y) {
        std::vector<double> sums(s.columns, 0.0);
        for (size_t k = 0; k < s.interior; ++k)
            for (size_t x = 0; x < s.columns; ++x)
                sums[x] += double(a[y * s.interior + k]) * double(b[k * s.columns + x]);
        for (size_t x = 0; x < s.columns; ++x) {
            error += std::pow(actual[y * s.columns + x] - sums[x], 2);
            size += sums[x] * sums[x];
        }
    }
    return std::sqrt(error / size);
}

} // namespace

TEST_CASE("products of fp32 are as exact as sums in fp32") {
    const Sizes sizes{64, 128, 2048};
    Values a = randomValues(sizes.rows * sizes.interior, 1, single),
           b = randomValues(sizes.interior * sizes.columns, 2, single);
    const double tolerance = splits() ? 2e-7 : 2e-6;
    CHECK(relativeError(sizes, a, b) < tolerance);
    // Sums that are cut off instead of rounded are all too small.
    for (auto& value : a) value = std::abs(value);
    for (auto& value : b) value = std::abs(value);
    CHECK(relativeError(sizes, a, b) < tolerance);
}

TEST_CASE("products of fp32 have its range") {
    const Sizes sizes{64, 128, 64};
    for (const double large : {double(0x1.fffffep127f), 0x1.fffffep99, 0x1.fffffep-100}) {
        INFO(large);
        Values a(sizes.rows * sizes.interior, 0), b(sizes.interior * sizes.columns, 0);
        for (size_t y = 0; y < sizes.rows; ++y)
            a[y * sizes.interior + y] = decltype(a)::value_type(y % 2 ? large : -large);
        for (auto& value : b) value = decltype(b)::value_type(0.75);
        const Values actual = product(sizes, a, b);
        double most = 0;
        for (size_t i = 0; i < actual.size(); ++i) {
            const double expected = (i / sizes.columns % 2 ? 0.75 : -0.75) * large;
            most = std::max(most, std::abs(actual[i] / expected - 1));
        }
        CHECK(most < 1e-6);
    }
}
