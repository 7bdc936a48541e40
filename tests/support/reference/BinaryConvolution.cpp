#include "BinaryConvolution.hpp"

#include <cmath>
#include <random>

namespace mpsvk::reference {
namespace {

double termOf(const std::vector<double>& terms, std::size_t index, double otherwise) {
    return terms.empty() ? otherwise : terms.at(index);
}

double inputOf(const BinaryConvolution& k, const Tensor& x, std::size_t n, std::size_t i,
               std::size_t j, std::size_t q, std::size_t r, std::size_t c) {
    const auto start = [](std::ptrdiff_t offset, std::size_t taps, std::ptrdiff_t dilation) {
        return offset - (std::ptrdiff_t(taps - 1) * dilation + 1) / 2;
    };
    const auto y = resolve(start(k.offsetY, k.kernelHeight, k.dilationY) +
                               std::ptrdiff_t(i) * k.strideY + std::ptrdiff_t(q) * k.dilationY,
                           x.h, k.edge);
    const auto column = resolve(start(k.offsetX, k.kernelWidth, k.dilationX) +
                                    std::ptrdiff_t(j) * k.strideX + std::ptrdiff_t(r) * k.dilationX,
                                x.w, k.edge);
    const double value = y < 0 || column < 0 ? 0 : x.at(n, std::size_t(y), std::size_t(column), c);
    return (value + termOf(k.inputBias, c, 0)) * termOf(k.inputScale, c, 1);
}

double product(BinaryType type, double u, bool bit) {
    const bool positive = !(u < 0);
    switch (type) {
    case BinaryType::Xnor: return positive == bit ? 1 : -1;
    case BinaryType::And: return positive && bit ? 1 : 0;
    default: return bit ? u : -u;
    }
}

Tensor convolved(const BinaryConvolution& k, const Tensor& x, bool absolute) {
    require(x.c == k.inputs, "A binary convolution reads all channels.");
    const auto sign = [&](double value) { return absolute ? std::abs(value) : value; };
    Tensor result(x.n, k.outputHeight, k.outputWidth, k.outputs);
    for (std::size_t n = 0; n < result.n; ++n) {
        for (std::size_t i = 0; i < result.h; ++i) {
            for (std::size_t j = 0; j < result.w; ++j) {
                for (std::size_t o = 0; o < k.outputs; ++o) {
                    double sum = 0, all = 0;
                    for (std::size_t q = 0; q < k.kernelHeight; ++q) {
                        for (std::size_t r = 0; r < k.kernelWidth; ++r) {
                            for (std::size_t c = 0; c < k.inputs; ++c) {
                                const double u = inputOf(k, x, n, i, j, q, r, c);
                                sum += sign(product(k.type, u, k.bit(o, q, r, c)));
                                all += std::abs(u);
                            }
                        }
                    }
                    const double beta =
                        k.beta ? all / double(k.inputs * k.kernelWidth * k.kernelHeight) : 1;
                    result.at(n, i, j, o) = sign(termOf(k.outputScale, o, 1)) * beta * sum +
                                            sign(termOf(k.outputBias, o, 0));
                }
            }
        }
    }
    return result;
}

} // namespace

bool BinaryConvolution::bit(std::size_t output, std::size_t y, std::size_t x,
                            std::size_t channel) const {
    const std::size_t words = (inputs + 31) / 32;
    const std::uint32_t word =
        weights.at(((output * kernelHeight + y) * kernelWidth + x) * words + channel / 32);
    return (word >> channel % 32 & 1) != 0;
}

std::vector<std::uint32_t> randomBits(std::size_t words, std::uint64_t seed) {
    std::mt19937_64 random(seed);
    std::vector<std::uint32_t> bits(words);
    for (std::uint32_t& word : bits) {
        word = std::uint32_t(random());
    }
    return bits;
}

Tensor forward(const BinaryConvolution& k, const Tensor& x) { return convolved(k, x, false); }
Tensor magnitude(const BinaryConvolution& k, const Tensor& x) { return convolved(k, x, true); }

} // namespace mpsvk::reference
