// Convolutions whose results have at most four channels.
#pragma once

#include "mps/ConvolutionWeights.hpp"

namespace mpsvk::mps {

/// The product for such results, or with `spread` its adjoint; false where
/// glsl/CNNConvolutionThin.comp does not do it.
bool dispatchThinProduct(Encoder& encoder, const ConvolutionWeights& weights,
                         ConvolutionWeights::Layout& layout,
                         const glsl::CNNConvolutionParameters& p, const ImageRun& source,
                         const ImageRun& destination, uint32_t neuron, bool spread);

} // namespace mpsvk::mps
