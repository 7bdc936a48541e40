// The gradient of weights with rows filtered by Winograd's transformations, as sums over parts of
// the pixels: see glsl/CNNConvolutionWinogradRowsGradientWeights.comp.
#pragma once

#include "mps/ConvolutionWeights.hpp"

namespace mpsvk::mps {

/// dW; false where it would take longer so, or is none of these. `p` has the channels of rows and
/// columns, `directShares` is WinogradShape's.
bool dispatchWinogradRowsGradient(Encoder& encoder, const ConvolutionShape& shape,
                                  glsl::CNNConvolutionWeightsParameters p, const ImageRun& windows,
                                  const ImageRun& taps,
                                  MPS::CNNConvolutionGradientState::Impl& state,
                                  uint32_t directShares);

} // namespace mpsvk::mps
