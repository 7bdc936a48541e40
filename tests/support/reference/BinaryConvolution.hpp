#pragma once
// Convolutions with bits for weights, and perhaps for inputs.

#include "Tensor.hpp"

namespace mpsvk::reference {

enum class BinaryType { Weights, Xnor, And };

struct BinaryConvolution {
    BinaryType type = BinaryType::Weights;
    bool beta = false;
    std::size_t kernelWidth = 1, kernelHeight = 1, inputs = 1, outputs = 1;
    std::ptrdiff_t strideX = 1, strideY = 1, dilationX = 1, dilationY = 1, offsetX = 0, offsetY = 0;
    std::size_t outputWidth = 1, outputHeight = 1;
    EdgeMode edge = EdgeMode::Zero;
    std::vector<std::uint32_t> weights;                                 // [output][y][x][word]
    std::vector<double> outputBias, outputScale, inputBias, inputScale; // empty: 0 or 1

    bool bit(std::size_t output, std::size_t y, std::size_t x, std::size_t channel) const;
};

std::vector<std::uint32_t> randomBits(std::size_t words, std::uint64_t seed);
Tensor forward(const BinaryConvolution& convolution, const Tensor& source);
// The sum of |terms|, by which results may be off.
Tensor magnitude(const BinaryConvolution& convolution, const Tensor& source);

} // namespace mpsvk::reference
