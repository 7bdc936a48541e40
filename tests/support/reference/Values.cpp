#include "Tensor.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace mpsvk::reference {
namespace {

// SplitMix64: the same numbers on every machine, unlike the standard's distributions.
struct Generator {
    std::uint64_t state;

    std::uint64_t next() {
        state += 0x9e3779b97f4a7c15u;
        std::uint64_t z = state;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        return z ^ (z >> 31);
    }
    double uniform() { return std::ldexp(static_cast<double>(next() >> 11), -53); }
};

double toFloat16(double value) {
    if (value == 0 || !std::isfinite(value)) {
        return value;
    }
    int exponent = 0;
    std::frexp(value, &exponent); // |value| = m * 2^exponent with m in [0.5, 1)
    const int unit = std::max(exponent - 11, -24);
    const double result = std::ldexp(std::nearbyint(std::ldexp(value, -unit)), unit);
    return std::abs(result) > 65504 ? std::copysign(HUGE_VAL, value) : result;
}

double toUnorm8(double value) {
    if (std::isnan(value)) {
        return 0;
    }
    return std::nearbyint(std::clamp(value, 0.0, 1.0) * 255) / 255;
}

} // namespace

std::vector<double> randomVector(std::size_t size, std::uint64_t seed, double low, double high) {
    Generator generator{seed};
    std::vector<double> result(size);
    for (double& value : result) {
        value = low + (high - low) * generator.uniform();
    }
    return result;
}

Tensor random(std::size_t n, std::size_t h, std::size_t w, std::size_t c, std::uint64_t seed,
              double low, double high) {
    return {n, h, w, c, randomVector(n * h * w * c, seed, low, high)};
}

Tensor randomLike(const Tensor& shape, std::uint64_t seed, double low, double high) {
    return random(shape.n, shape.h, shape.w, shape.c, seed, low, high);
}

Tensor distinct(std::size_t n, std::size_t h, std::size_t w, std::size_t c, std::uint64_t seed,
                double low, double high) {
    Generator generator{seed};
    Tensor result(n, h, w, c);
    const std::size_t size = result.size();
    for (std::size_t i = 0; i < size; ++i) {
        result.v[i] = low + (high - low) * (static_cast<double>(i) + 0.5) / double(size);
    }
    for (std::size_t i = size; i > 1; --i) {
        std::swap(result.v[i - 1], result.v[generator.next() % i]);
    }
    return result;
}

double rounded(double value, Storage storage) {
    switch (storage) {
    case Storage::Float32: return static_cast<float>(value);
    case Storage::Float16: return toFloat16(value);
    case Storage::Unorm8: return toUnorm8(value);
    }
    return std::numeric_limits<double>::quiet_NaN();
}

std::vector<double> rounded(std::vector<double> values, Storage storage) {
    for (double& value : values) {
        value = rounded(value, storage);
    }
    return values;
}

Tensor rounded(Tensor tensor, Storage storage) {
    tensor.v = rounded(std::move(tensor.v), storage);
    return tensor;
}

} // namespace mpsvk::reference
