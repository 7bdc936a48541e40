#pragma once
// Convolution (grouped, dilated, strided), its three gradients, and its transpose.
//
// Everything is counted from the clip rectangle: a result is outputWidth x outputHeight, to be put
// into a destination with paste(); an incoming gradient is cut out with crop().

#include "Neuron.hpp"
#include "Tensor.hpp"

#include <optional>

namespace mpsvk::reference {

struct FusedBatchNormalization {
    std::vector<double> mean, variance, gamma, beta;
    double epsilon = 0;
};

struct Convolution {
    std::size_t inputChannels = 1, outputChannels = 1;
    std::size_t kernelWidth = 1, kernelHeight = 1;
    std::size_t strideX = 1, strideY = 1;
    std::size_t dilationX = 1, dilationY = 1;
    std::size_t groups = 1; // inputChannels for a depthwise convolution, of any multiplier
    std::ptrdiff_t offsetX = 0, offsetY = 0;
    EdgeMode edge = EdgeMode::Zero;
    std::size_t outputWidth = 1, outputHeight = 1; // the clip rectangle's size

    std::vector<double> weights; // [outputChannels][kernelHeight][kernelWidth][input / groups]
    std::vector<double> bias;    // empty: none

    // Of the forward pass only: gradients take the convolution's own result for given.
    std::optional<FusedBatchNormalization> normalization;
    Neuron neuron;
    std::size_t subPixelScale = 1;

    std::size_t weightCount() const {
        return outputChannels * kernelHeight * kernelWidth * (inputChannels / groups);
    }
};

Convolution fullyConnected(const Tensor& source, std::vector<double> weights,
                           std::vector<double> bias);

// |weights|, |bias| and nothing fused: gives the sum of |terms| when applied to |operands|.
Convolution absolute(Convolution convolution);

Tensor forward(const Convolution& convolution, const Tensor& source);
// The true adjoint under both edge modes.
Tensor dataGradient(const Convolution& convolution, const Tensor& sourceGradient,
                    std::size_t sourceHeight, std::size_t sourceWidth);
std::vector<double> weightsGradient(const Convolution& convolution, const Tensor& sourceGradient,
                                    const Tensor& source);
std::vector<double> biasGradient(const Tensor& sourceGradient);

// The source is spread apart by the stride; weights are [outputChannels][kH][kW][input / groups],
// not rotated. The edge mode and subPixelScale have no meaning here.
struct ConvolutionTranspose : Convolution {
    std::ptrdiff_t kernelOffsetX = 0, kernelOffsetY = 0;
};

Tensor forward(const ConvolutionTranspose& convolution, const Tensor& source);
Tensor dataGradient(const ConvolutionTranspose& convolution, const Tensor& sourceGradient,
                    std::size_t sourceHeight, std::size_t sourceWidth);
std::vector<double> weightsGradient(const ConvolutionTranspose& convolution,
                                    const Tensor& sourceGradient, const Tensor& source);

} // namespace mpsvk::reference
