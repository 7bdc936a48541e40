#include "mps/WinogradMatrices.hpp"

#include "mps/DeviceTable.hpp"
#include "vk/Instance.hpp"

#include <algorithm>
#include <cmath>

namespace mpsvk::mps {

namespace {

/// Fewer are no work.
constexpr uint64_t leastChannels = 16;
/// Sums over more, with the transformations of five taps, are off by more than 1e-5.
constexpr uint64_t mostChannelsOfFive = 64;

/// For tests: parts of a few rows.
constexpr uint64_t smallPartBytes = 1 << 16;

} // namespace

uint32_t reducedChannels(const glsl::CNNConvolutionPackParameters& p) {
    return p.transposed ? p.outputChannels : p.inputChannels;
}

uint32_t resultTexels(const glsl::CNNConvolutionPackParameters& p) {
    return uint32_t(vk::divideUp(p.transposed ? p.inputChannels : p.outputChannels, 4));
}

bool isUnstrided(const ConvolutionWeights::Layout& layout,
                 const glsl::CNNConvolutionParameters& p) {
    return p.strideX == 1 && p.dilationX == 1 && layout.shape.groups == 1 &&
           !layout.shape.depthwise && p.subPixelScale == 1 && !p.clampEdges;
}

bool isUnstrided(const ConvolutionShape& shape, const glsl::CNNConvolutionWeightsParameters& p) {
    return p.strideX == 1 && p.dilationX == 1 && shape.groups == 1 && !p.clampEdges;
}

bool hasWinograd(uint32_t taps, uint64_t channels, uint64_t resultChannels) {
    return (taps == 3 || (taps == 5 && channels <= mostChannelsOfFive)) &&
           std::min(channels, resultChannels) >= leastChannels && !vk::isDisabled("winograd");
}

bool hasWinogradRows(uint32_t taps, uint64_t channels, uint64_t resultChannels) {
    return taps >= 3 && taps <= 5 && std::min(channels, resultChannels) >= leastChannels &&
           !vk::isDisabled("winograd") && !vk::isDisabled("winograd_rows");
}

int turnedOrigin(int origin, uint32_t taps, int dilation) {
    return (1 - int(taps)) * dilation - origin;
}

bool isFloatBuffer(const ImageRun& run) { return !run.isTexture() && run.storageConstant() == 0; }

bool winogradReads(const ImageRun& run) { return run.isTexture() || run.storageConstant() == 0; }

Grid winogradGrid(const glsl::CNNConvolutionWinogradParameters& p, uint64_t across, uint64_t down,
                  uint64_t images, uint64_t shares) {
    Grid grid = Grid::over(p.rowTexels, across, down, images);
    grid.x = shares * p.tiles * p.rowTexels;
    return grid;
}

MatrixOperand winogradMatrices(const vk::BufferSlice& slice, uint64_t rows, uint64_t columns) {
    MatrixOperand made;
    made.slice = slice;
    made.view.rows = uint32_t(rows);
    made.view.columns = made.view.rowStride = uint32_t(columns);
    made.view.matrixStride = uint32_t(rows * columns);
    made.view.isAligned = 1;
    return made;
}

uint64_t winogradBytes(uint32_t taps, uint64_t rows, uint64_t columns) {
    return glsl::winogradPositions(taps) * rows * columns * sizeof(float);
}

vk::Constant winogradConstant(uint32_t taps) { return constant(38, taps); }

bool winogradIsFaster(const vk::Device& device, double time, double otherwise) {
    if (std::isinf(time)) return false;
    if (vk::isDisabled("direct_tile")) return true;
    return !isCpu(device) && time < otherwise;
}

WinogradPlan winogradPlan(const vk::Limits& limits, const WinogradShape& shape) {
    return winogradParts(shape, vk::isDisabled("large_parts")
                                    ? smallPartBytes
                                    : std::min(winogradPartBytes, limits.storageBufferRange));
}

} // namespace mpsvk::mps
