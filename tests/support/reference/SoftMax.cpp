#include "SoftMax.hpp"

#include <algorithm>
#include <cmath>

namespace mpsvk::reference {
namespace {

// The sum over the channels of the pixel that starts at `first`.
template <class Term> double sum(const Tensor& tensor, std::size_t first, Term term) {
    double result = 0;
    for (std::size_t i = first; i < first + tensor.c; ++i) {
        result += term(i);
    }
    return result;
}

} // namespace

Tensor logSoftMax(const Tensor& source) {
    Tensor result = source;
    for (std::size_t i = 0; i < source.size(); i += source.c) {
        const auto begin = source.v.begin() + i;
        const double most = *std::max_element(begin, begin + source.c);
        const double total =
            sum(source, i, [&](std::size_t k) { return std::exp(source.v[k] - most); });
        for (std::size_t k = i; k < i + source.c; ++k) {
            result.v[k] = source.v[k] - most - std::log(total);
        }
    }
    return result;
}

Tensor softMax(const Tensor& source) {
    Tensor result = logSoftMax(source);
    for (double& value : result.v) {
        value = std::exp(value);
    }
    return result;
}

Tensor softMaxGradient(const Tensor& g, const Tensor& y) {
    require(g.sameShape(y), "A softmax gradient has the shape of the forward result.");
    Tensor result = y;
    for (std::size_t i = 0; i < y.size(); i += y.c) {
        const double total = sum(y, i, [&](std::size_t k) { return g.v[k] * y.v[k]; });
        for (std::size_t k = i; k < i + y.c; ++k) {
            result.v[k] = y.v[k] * (g.v[k] - total);
        }
    }
    return result;
}

Tensor logSoftMaxGradient(const Tensor& g, const Tensor& y) {
    require(g.sameShape(y), "A log softmax gradient has the shape of the forward result.");
    Tensor result = y;
    for (std::size_t i = 0; i < y.size(); i += y.c) {
        const double total = sum(y, i, [&](std::size_t k) { return g.v[k]; });
        for (std::size_t k = i; k < i + y.c; ++k) {
            result.v[k] = g.v[k] - std::exp(y.v[k]) * total;
        }
    }
    return result;
}

} // namespace mpsvk::reference
