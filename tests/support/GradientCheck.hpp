#pragma once
// Central finite differences of a scalar function against a gradient that claims to be its own.
//
//     const Tensor cotangent = randomLike(forward(pooling, x), 7);
//     const auto f = [&](const Tensor& x) { return dot(forward(pooling, x), cotangent); };
//     CHECK(checkGradient(f, x, gradient(pooling, cotangent, x)));
//
// f may as well run a device kernel in single precision: then take a larger step and tolerance.

#include "reference/Tensor.hpp"

#include <functional>
#include <ostream>

namespace mpsvk::reference {

struct GradientCheckOptions {
    double step = 1e-5;
    // The allowed error of an element, relative to the largest |dx|; `absolute` is added.
    double tolerance = 1e-7;
    double absolute = 1e-9;
    std::size_t samples = 64; // at most, spread over all elements
    // Elements within two steps of one of these values of x are left out, their slope having a
    // jump.
    std::vector<double> kinks = {};
    // More elements to leave out.
    std::function<bool(std::size_t)> excluded = {};
};

struct GradientCheckResult {
    bool equal = false;
    std::size_t checked = 0;
    std::string text;

    explicit operator bool() const { return equal; }
};

inline std::ostream& operator<<(std::ostream& stream, const GradientCheckResult& result) {
    return stream << result.text;
}

using ScalarFunction = std::function<double(const Tensor&)>;

// Never equal when all elements were left out.
GradientCheckResult checkGradient(const ScalarFunction& f, const Tensor& x, const Tensor& dx,
                                  const GradientCheckOptions& options = {});

// The same for a plain vector (weights, biases).
GradientCheckResult checkGradient(const std::function<double(const std::vector<double>&)>& f,
                                  const std::vector<double>& x, const std::vector<double>& dx,
                                  const GradientCheckOptions& options = {});

} // namespace mpsvk::reference
