// What Winograd's products and those of the gradient of weights have in common.
#pragma once

#include "CNNConvolutionWinograd.h"
#include "mps/MatrixProduct.hpp"
#include "mps/WinogradPlan.hpp"

namespace mpsvk::mps {

/// Fewer are no work for products of matrices.
constexpr uint64_t winogradLeastChannels = 16;

/// Halves in buffers are for cooperative matrices.
bool winogradReads(const ImageRun& run);
/// A CPU does so only to be tested.
bool winogradIsFaster(const vk::Device& device, double time, double otherwise);
WinogradPlan winogradPlan(const vk::Limits& limits, const WinogradShape& shape);

/// An invocation for each texel of the matrix, whose rows are so many tiles and perhaps some more.
Grid winogradGrid(const glsl::CNNConvolutionWinogradParameters& p, uint64_t across, uint64_t down,
                  uint64_t images);
/// A matrix for each position.
MatrixOperand winogradMatrices(const vk::BufferSlice& slice, uint64_t rows, uint64_t columns);
uint64_t winogradBytes(uint64_t rows, uint64_t columns);

} // namespace mpsvk::mps
