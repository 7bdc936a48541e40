// Convolutions of 3x3 taps by Winograd's minimal filtering: see glsl/CNNConvolutionWinograd.h.
#pragma once

#include "mps/ConvolutionWeights.hpp"

namespace mpsvk::mps {

/// Of transformed weights.
uint64_t winogradBytes(const glsl::CNNConvolutionPackParameters& p);
void packWinograd(Encoder& encoder, const glsl::CNNConvolutionPackParameters& p,
                  const vk::BufferSlice& weights, const vk::BufferSlice& scale,
                  const vk::BufferSlice& packed);

bool isWinogradTiles(const vk::Limits& limits, const ConvolutionWeights::Layout& layout,
                     const glsl::CNNConvolutionParameters& p, const ImageRun& source,
                     const ImageRun& destination);
/// The product, or with `spread` its adjoint; false where it would take longer so, or is none of
/// these.
/// `directShares` is WinogradShape's.
bool dispatchWinograd(Encoder& encoder, const ConvolutionWeights& weights,
                      ConvolutionWeights::Layout& layout, const glsl::CNNConvolutionParameters& p,
                      const ImageRun& source, const ImageRun& destination, uint32_t neuron,
                      bool spread, uint32_t directShares);

} // namespace mpsvk::mps
