// What Winograd's products and those of the gradient of weights have in common.
#pragma once

#include "CNNConvolutionWinograd.h"
#include "mps/MatrixProduct.hpp"
#include "mps/WinogradPlan.hpp"

namespace mpsvk::mps {

/// Whether there are transformations of so many taps a row, and work for products of matrices;
/// channels are those of the source and of the result.
bool hasWinograd(uint32_t taps, uint64_t channels, uint64_t resultChannels);
/// Halves in buffers are for cooperative matrices.
bool winogradReads(const ImageRun& run);
/// A CPU does so only to be tested.
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
