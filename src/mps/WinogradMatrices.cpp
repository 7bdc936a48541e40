#include "mps/WinogradMatrices.hpp"

#include "mps/DeviceTable.hpp"
#include "vk/Instance.hpp"

#include <algorithm>

namespace mpsvk::mps {

namespace {

/// For tests: parts of a few rows.
constexpr uint64_t smallPartBytes = 1 << 16;

} // namespace

bool winogradReads(const ImageRun& run) { return run.isTexture() || run.storageConstant() == 0; }

Grid winogradGrid(const glsl::CNNConvolutionWinogradParameters& p, uint64_t across, uint64_t down,
                  uint64_t images) {
    Grid grid = Grid::over(p.rowTexels, across, down, images);
    grid.x = uint64_t(p.tiles) * p.rowTexels;
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

uint64_t winogradBytes(uint64_t rows, uint64_t columns) {
    return glsl::winogradPositions * rows * columns * sizeof(float);
}

bool winogradIsFaster(const vk::Device& device, double time, double otherwise) {
    if (vk::isDisabled("direct_tile")) return true;
    return !isCpu(device) && time < otherwise;
}

WinogradPlan winogradPlan(const vk::Limits& limits, const WinogradShape& shape) {
    return winogradParts(shape, vk::isDisabled("large_parts")
                                    ? smallPartBytes
                                    : std::min(winogradPartBytes, limits.storageBufferRange));
}

} // namespace mpsvk::mps
