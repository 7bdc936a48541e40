// KernelOptions::AllowReducedPrecision: within its error of the references on devices with matrices
// of bf16, and without an effect on others.
#pragma once

#include "mtl/Device.hpp"
#include "support/Matrices.hpp"
#include "vk/Instance.hpp"

#include <catch2/catch_test_macros.hpp>

#include <cmath>
#include <functional>

namespace mpsvk::test::reduced {

constexpr auto allowed = MPS::KernelOptions::AllowReducedPrecision;
constexpr double tolerance = 2e-5;

inline bool isReduced() { return testDevice().impl().vk->features().bfloat16; }

inline double relativeError(const Values& actual, const Values& expected) {
    REQUIRE(actual.size() == expected.size());
    double error = 0, size = 0;
    for (size_t i = 0; i < actual.size(); ++i) {
        error += (actual[i] - expected[i]) * (actual[i] - expected[i]);
        size += expected[i] * expected[i];
    }
    return std::sqrt(error / size);
}

/// `product` gives what comes of the options. The expected values are for devices that reduce.
template <class Product>
void check(const char* what, Product product, const std::function<Values()>& expected) {
    INFO(what);
    const Values exact = product(MPS::KernelOptions::None), reduced = product(allowed);
    const bool isSame = product(allowed) == reduced; // too long to print
    CHECK(isSame);
    const bool differs = reduced != exact;
    // Without the memory for a tile of bf16 a product may go another way.
    if (!vk::isDisabled("large_shared_memory")) CHECK(differs == isReduced());
    if (isReduced()) CHECK(relativeError(reduced, expected()) < tolerance);
}

} // namespace mpsvk::test::reduced
