// MPSMatrixFindTopK: the largest elements of each row.
#pragma once

#include <mpsvk/MPS/Matrix.hpp>

namespace mpsvk::MPS {

/// The numberOfTopKValues largest elements of each row in descending order, and
/// their columns: counted from sourceMatrixOrigin.y on, plus indexOffset. Of
/// equal elements (0 and -0 are) the one in the lower column comes first; NaN
/// comes after everything else. Both result matrices are written from
/// resultMatrixOrigin on.
///
/// Rows and columns are counted from the origin on, at most sourceRows and
/// sourceColumns. Input and values are Float32 or Float16, indices UInt32.
/// MPSMatrixFindTopK.
class MatrixFindTopK : public MatrixUnaryKernel {
public:
    using Kernel::encode;

    /// At most 16.
    static constexpr uint64_t maximumNumberOfTopKValues = 16;

    MatrixFindTopK(const MTL::Device& device, uint64_t numberOfTopKValues)
        : MatrixUnaryKernel(device), numberOfTopKValues_(numberOfTopKValues) {}
    MatrixFindTopK(KeyedUnarchiver& coder, const MTL::Device& device)
        : MatrixFindTopK(deviceFor(coder, device), 1) {
        unarchive(coder);
    }

    uint64_t numberOfTopKValues() const { return numberOfTopKValues_; }
    void setNumberOfTopKValues(uint64_t v) { numberOfTopKValues_ = v; }
    uint64_t indexOffset() const { return indexOffset_; }
    void setIndexOffset(uint64_t v) { indexOffset_ = v; }
    uint64_t sourceRows() const { return sourceRows_; }
    void setSourceRows(uint64_t v) { sourceRows_ = v; }
    uint64_t sourceColumns() const { return sourceColumns_; }
    void setSourceColumns(uint64_t v) { sourceColumns_ = v; }

    /// Throws InvalidArgument when an operand is empty, of another device, spent,
    /// of another type, too small, or overlaps a result; when numberOfTopKValues
    /// is 0, more than 16 or more than there are columns; when a size is 0; and
    /// when the largest index is beyond 32 bits.
    void encode(const MTL::CommandBuffer& commandBuffer, const Matrix& inputMatrix,
                const Matrix& resultIndexMatrix, const Matrix& resultValueMatrix);

    std::string className() const override { return "MatrixFindTopK"; }
    MatrixFindTopK copy(const MTL::Device& device) const { return copied(*this, device); }

private:
    void archive(mps::Archive& archive) override;

    uint64_t numberOfTopKValues_, indexOffset_ = 0;
    uint64_t sourceRows_ = UINT64_MAX, sourceColumns_ = UINT64_MAX;
};

} // namespace mpsvk::MPS
