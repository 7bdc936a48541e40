#include "mps/MatrixColumnSums.hpp"

#include "MatrixColumnSums.h"
#include "mps/DeviceTable.hpp"

#include <mpsvk/Error.hpp>

#include <algorithm>
#include <bit>

namespace mpsvk::mps {

namespace {

constexpr uint64_t groupSize = 256; // of glsl/MatrixColumnSums.comp

uint64_t lanesFor(uint64_t columns) {
    return std::min(std::bit_ceil(vk::divideUp(columns, 4)), groupSize);
}

void dispatch(Encoder& encoder, const MatrixOperand& source, const MatrixOperand& sums,
              const Grid& grid, uint32_t lanes, uint32_t splitRows) {
    glsl::MatrixColumnSumsParameters p{};
    p.source = source.view;
    p.sums = sums.view;
    p.lanes = lanes;
    p.splitRows = splitRows;
    encoder.dispatch("MatrixColumnSums", p, grid, {{1, source.slice}, {2, sums.slice}},
                     {constant(1, source.typeConstant()), constant(2, sums.typeConstant())});
}

} // namespace

RowSplit::RowSplit(Encoder& encoder, uint64_t rows, uint64_t columns, uint64_t matrices)
    : lanes(uint32_t(lanesFor(columns))) {
    const bool cpu = isCpu(encoder.device());
    const uint64_t across = vk::divideUp(columns, 4 * lanes), rowsAtOnce = groupSize / lanes;
    const uint64_t groups = cpu ? 16 : groupsFor(encoder.limits(), 16);
    const uint64_t wanted = std::clamp<uint64_t>(groups / (across * matrices), 1, 65535);
    // A part has some rows for each invocation, lest adding the parts up takes longer.
    const uint64_t splits = std::clamp<uint64_t>(vk::divideUp(rows, 8 * rowsAtOnce), 1, wanted);
    splitRows = uint32_t(vk::divideUp(vk::divideUp(rows, splits), rowsAtOnce) * rowsAtOnce);
    grid = {across * groupSize, vk::divideUp(rows, splitRows), matrices};
}

void checkBatch(const MatrixOperands& operands) {
    if (operands.batch() <= RowSplit::maximumMatrices) return;
    throw InvalidArgument(operands.who() + "The batch has " + std::to_string(operands.batch()) +
                          " matrices but may have at most " +
                          std::to_string(RowSplit::maximumMatrices) + ".");
}

ColumnSums::ColumnSums(Encoder& encoder, uint64_t rows, uint64_t columns, uint64_t matrices)
    : RowSplit(encoder, rows, columns, matrices), encoder_(encoder), matrices_(matrices) {
    parts.view.rows = uint32_t(grid.y);
    parts.view.columns = uint32_t(columns);
    parts.view.rowStride = uint32_t(vk::roundUp(columns, 4));
    parts.view.matrixStride = parts.view.rows * parts.view.rowStride;
    parts.view.isAligned = 1;
    scratch_ = encoder.scratch(matrices * parts.view.matrixStride * sizeof(float));
    parts.slice = *scratch_;
}

void ColumnSums::addUp(const MatrixOperand& result, bool overMatrices) {
    MatrixOperand all = parts;
    if (overMatrices) all.view.rows *= uint32_t(matrices_);
    dispatch(encoder_, all, result, {grid.x, 1, overMatrices ? 1 : matrices_}, lanes,
             all.view.rows);
}

void sumColumns(Encoder& encoder, const MatrixOperand& source, const MatrixOperand& result,
                uint64_t matrices, bool overMatrices) {
    ColumnSums sums(encoder, source.rows(), source.columns(), matrices);
    dispatch(encoder, source, sums.parts, sums.grid, sums.lanes, sums.splitRows);
    sums.addUp(result, overMatrices);
}

} // namespace mpsvk::mps
