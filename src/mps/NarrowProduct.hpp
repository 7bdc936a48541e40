// Layers that make few channels of many, one pixel of source and result each: the last one of a
// classifier. Tiles would give the device a handful of workgroups.
#pragma once

#include "mps/CNNConvolutionState.hpp"
#include "mps/ConvolutionWeights.hpp"

namespace mpsvk::mps {

/// The forward product; false where glsl/CNNFullyConnectedNarrow.comp does not do it.
bool dispatchNarrowProduct(Encoder& encoder, const ConvolutionWeights& weights,
                           ConvolutionWeights::Layout& layout,
                           const glsl::CNNConvolutionParameters& p, const ImageRun& source,
                           const ImageRun& destination, uint32_t neuron);

/// The data gradient, or a transposed convolution; false where
/// glsl/CNNFullyConnectedNarrowGradientData.comp does not do it.
bool dispatchNarrowAdjoint(Encoder& encoder, const ConvolutionWeights& weights,
                           ConvolutionWeights::Layout& layout,
                           const glsl::CNNConvolutionParameters& p, const ImageRun& source,
                           const ImageRun& destination, uint32_t neuron);

/// dW and db; false where glsl/CNNFullyConnectedNarrowGradientWeights.comp does not do them.
bool dispatchNarrowGradient(Encoder& encoder, const ConvolutionShape& shape,
                            glsl::CNNConvolutionWeightsParameters p, const ImageRun& gradient,
                            const ImageRun& source, MPS::CNNConvolutionGradientState::Impl& state);

} // namespace mpsvk::mps
