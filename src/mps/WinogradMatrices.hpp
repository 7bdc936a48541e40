// What Winograd's products and those of the gradient of weights have in common.
#pragma once

#include "CNNConvolutionWinograd.h"
#include "mps/ConvolutionWeights.hpp"
#include "mps/MatrixProduct.hpp"
#include "mps/WinogradPlan.hpp"

namespace mpsvk::mps {

/// Channels that are summed over, and texels of those of the results.
uint32_t reducedChannels(const glsl::CNNConvolutionPackParameters& p);
uint32_t resultTexels(const glsl::CNNConvolutionPackParameters& p);

/// A convolution, or its adjoint, that moves along rows one by one, pixel by pixel.
bool isUnstrided(const ConvolutionWeights::Layout& layout, const glsl::CNNConvolutionParameters& p);
/// The same of the gradient of weights.
bool isUnstrided(const ConvolutionShape& shape, const glsl::CNNConvolutionWeightsParameters& p);
/// Whether there are transformations of so many taps a row, and work for products of matrices;
/// channels are those of the source and of the result.
bool hasWinograd(uint32_t taps, uint64_t channels, uint64_t resultChannels);
bool hasWinogradRows(uint32_t taps, uint64_t channels, uint64_t resultChannels);
/// Of the adjoint, whose taps are turned around and begin at the last one.
int turnedOrigin(int origin, uint32_t taps, int dilation);
bool isFloatBuffer(const ImageRun& run);
/// Halves in buffers are for cooperative matrices.
bool winogradReads(const ImageRun& run);
/// A CPU does so only to be tested. An infinite time is that of what cannot be.
bool winogradIsFaster(const vk::Device& device, double time, double otherwise);
WinogradPlan winogradPlan(const vk::Limits& limits, const WinogradShape& shape);

/// So many invocations for each texel of the matrix, whose rows are so many tiles and perhaps some
/// more.
Grid winogradGrid(const glsl::CNNConvolutionWinogradParameters& p, uint64_t across, uint64_t down,
                  uint64_t images, uint64_t shares);
MatrixOperand winogradMatrices(const vk::BufferSlice& slice, uint64_t rows, uint64_t columns);
/// Of a matrix for each position.
uint64_t winogradBytes(uint32_t taps, uint64_t rows, uint64_t columns);
/// Of the shaders: taps of a row.
vk::Constant winogradConstant(uint32_t taps);

} // namespace mpsvk::mps
