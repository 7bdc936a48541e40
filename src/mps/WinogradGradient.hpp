// The gradient of 3x3 weights by Winograd's minimal filtering: see glsl/CNNConvolutionWinograd.h.
#pragma once

#include "mps/CNNConvolutionState.hpp"
#include "mps/ConvolutionWeights.hpp"

namespace mpsvk::mps {

/// `windows` has one pixel per window, `taps` is read at them.
bool isWinogradGradient(const ConvolutionShape& shape,
                        const glsl::CNNConvolutionWeightsParameters& p, const ImageRun& windows,
                        const ImageRun& taps);
/// dW; false where it would take longer so, or is none of these.
/// `directShares` is WinogradShape's.
bool dispatchWinogradGradient(Encoder& encoder, const ConvolutionShape& shape,
                              const glsl::CNNConvolutionWeightsParameters& p,
                              const ImageRun& windows, const ImageRun& taps,
                              MPS::CNNConvolutionGradientState::Impl& state, uint32_t directShares);

} // namespace mpsvk::mps
