// MPSMatrixCopy: copies of parts of matrices, transposed and permuted.
#pragma once

#include <mpsvk/MPS/Matrix.hpp>

namespace mpsvk::MPS {

/// Where a copy begins; rows and columns are those of the operand as it is
/// read: of a transposed one they are swapped against its storage. MPSMatrixCopyOffsets.
struct MatrixCopyOffsets {
    uint32_t sourceRowOffset = 0, sourceColumnOffset = 0;
    uint32_t destinationRowOffset = 0, destinationColumnOffset = 0;
    friend bool operator==(const MatrixCopyOffsets&, const MatrixCopyOffsets&) = default;
};

/// From which matrices into which. The copies of one descriptor run in any
/// order: none may write what another one reads or writes.
/// MPSMatrixCopyDescriptor.
class MatrixCopyDescriptor {
public:
    /// One copy.
    MatrixCopyDescriptor(const Matrix& sourceMatrix, const Matrix& destinationMatrix,
                         const MatrixCopyOffsets& offsets);
    /// Several, each of which setCopyOperation has to name. Throws
    /// InvalidArgument for 0.
    MatrixCopyDescriptor(const MTL::Device& device, uint64_t count);
    /// Their offsets lie in device memory, four UInt32 for each copy, from byte
    /// `offset` of the vector on, a multiple of 16. What they place outside of a
    /// matrix is not copied. Throws InvalidArgument when there are not as many
    /// sources as destinations, or none.
    MatrixCopyDescriptor(const std::vector<Matrix>& sourceMatrices,
                         const std::vector<Matrix>& destinationMatrices, const Vector& offsetVector,
                         uint64_t offset);

    /// Throws InvalidArgument when there is no such copy, or its offsets are in
    /// device memory.
    void setCopyOperation(uint64_t index, const Matrix& sourceMatrix,
                          const Matrix& destinationMatrix, const MatrixCopyOffsets& offsets);

    uint64_t count() const { return copies_.size(); }

private:
    friend class MatrixCopy;
    struct Copy {
        Matrix source, destination;
        MatrixCopyOffsets offsets;
    };
    std::vector<Copy> copies_;
    Vector offsetVector_; ///< empty: the copies' own
    uint64_t offset_ = 0;
};

/// Copies copyRows x copyColumns elements, bit by bit, of 1, 2 or 4 bytes;
/// source and destination have the same type. With sourcesAreTransposed the
/// sources are read as their transposes (that is, as column-major), with
/// destinationsAreTransposed destinations are written as theirs. Of several
/// matrices in an object each is copied, as many as both have. MPSMatrixCopy.
class MatrixCopy : public Kernel {
public:
    using Kernel::encode;

    /// Throws InvalidArgument when a size is 0.
    MatrixCopy(const MTL::Device& device, uint64_t copyRows, uint64_t copyColumns,
               bool sourcesAreTransposed, bool destinationsAreTransposed);
    MatrixCopy(KeyedUnarchiver& coder, const MTL::Device& device)
        : MatrixCopy(deviceFor(coder, device), 1, 1, false, false) {
        unarchive(coder);
    }

    uint64_t copyRows() const { return copyRows_; }
    uint64_t copyColumns() const { return copyColumns_; }
    bool sourcesAreTransposed() const { return sourcesAreTransposed_; }
    bool destinationsAreTransposed() const { return destinationsAreTransposed_; }

    /// Throws InvalidArgument when a copy was not set, an operand is of another
    /// device, spent, of another type, too small, or when a source's memory
    /// overlaps a destination's.
    void encode(const MTL::CommandBuffer& commandBuffer,
                const MatrixCopyDescriptor& copyDescriptor);
    /// Row i of a copy goes to the destination's row
    /// rowPermuteIndices[rowPermuteOffset + i] + destinationRowOffset, and so do
    /// columns. An index vector is UInt32; empty: i itself. What the indices
    /// place outside of a destination is not written; where two of them are
    /// equal, either may have been.
    void encode(const MTL::CommandBuffer& commandBuffer, const MatrixCopyDescriptor& copyDescriptor,
                const Vector& rowPermuteIndices, uint64_t rowPermuteOffset,
                const Vector& columnPermuteIndices, uint64_t columnPermuteOffset);

    std::string className() const override { return "MatrixCopy"; }
    MatrixCopy copy(const MTL::Device& device) const { return copied(*this, device); }

private:
    void archive(mps::Archive& archive) override;

    uint64_t copyRows_, copyColumns_;
    bool sourcesAreTransposed_, destinationsAreTransposed_;
};

} // namespace mpsvk::MPS
