// Gradients of weights whose taps read images of at most four channels.
#pragma once

#include "mps/CNNConvolutionState.hpp"
#include "mps/ConvolutionWeights.hpp"

namespace mpsvk::mps {

/// dW, and db unless `p.transposed`, of such taps; false where their kernel does not do it, or
/// cooperative matrices, where these can (`inHalves`), are faster.
bool dispatchThinGradient(Encoder& encoder, const ConvolutionShape& shape,
                          glsl::CNNConvolutionWeightsParameters p, const ImageRun& windows,
                          const ImageRun& taps, bool inHalves,
                          MPS::CNNConvolutionGradientState::Impl& state);

} // namespace mpsvk::mps
