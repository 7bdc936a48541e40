// Sums over the rows of matrices, in a fixed order: parts of the rows first, then their sums.
#pragma once

#include "mps/MatrixPass.hpp"

namespace mpsvk::mps {

/// How a shader goes over whole matrices as MatrixColumnSums does.
struct RowSplit {
    static constexpr uint64_t maximumMatrices = 65535; ///< of any device's grid

    RowSplit(Encoder& encoder, uint64_t rows, uint64_t columns, uint64_t matrices);

    Grid grid;
    uint32_t lanes, splitRows;
};

/// Throws InvalidArgument when the batch is larger than grids can be.
void checkBatch(const MatrixOperands& operands);

/// For such a shader that writes sums on the way.
class ColumnSums : public RowSplit {
public:
    ColumnSums(Encoder& encoder, uint64_t rows, uint64_t columns, uint64_t matrices);

    MatrixOperand parts; ///< fp32, a row for each part; scratch memory
    /// Adds the parts up into a vector for each matrix, or into one for all of them.
    void addUp(const MatrixOperand& result, bool overMatrices);

private:
    Encoder& encoder_;
    const uint64_t matrices_;
    std::shared_ptr<const vk::BufferSlice> scratch_;
};

/// Of `source` into vectors of `result`: one for each matrix, or one for all of them.
void sumColumns(Encoder& encoder, const MatrixOperand& source, const MatrixOperand& result,
                uint64_t matrices, bool overMatrices);

} // namespace mpsvk::mps
