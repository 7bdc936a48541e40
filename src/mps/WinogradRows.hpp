// Convolutions whose rows are filtered by Winograd's transformations, in one dispatch: see
// glsl/CNNConvolutionWinograd.h.
#pragma once

#include "mps/ConvolutionWeights.hpp"

namespace mpsvk::mps {

/// Of transformed weights.
uint64_t winogradRowsBytes(const glsl::CNNConvolutionPackParameters& p);
void packWinogradRows(Encoder& encoder, const glsl::CNNConvolutionPackParameters& p,
                      const vk::BufferSlice& weights, const vk::BufferSlice& scale,
                      const vk::BufferSlice& packed);

/// The product, or with `spread` its adjoint; false where it would take longer so, or is none of
/// these.
/// `directShares` is WinogradShape's.
bool dispatchWinogradRows(Encoder& encoder, const ConvolutionWeights& weights,
                          ConvolutionWeights::Layout& layout,
                          const glsl::CNNConvolutionParameters& p, const ImageRun& source,
                          const ImageRun& destination, uint32_t neuron, bool spread,
                          uint32_t directShares);

} // namespace mpsvk::mps
