// MPSMatrixSum: a weighted sum of matrices, with a bias and an activation.
#pragma once

#include <mpsvk/MPS/Matrix.hpp>
#include <mpsvk/MPS/MatrixNeuronParameters.hpp>

namespace mpsvk::MPS {

/// S = sum_k scale[startIndex + k] * B_k[offset(startIndex + k)...], over
/// `count` source matrices, of each of which `rows` x `columns` elements from
/// its offset on are summed; then R = f(S + b), or f(transpose(S) + b) with
/// `transpose`, where the bias b is added to every row and f is the activation.
/// Sums are formed in fp32 in the order of the sources. Matrix k of each source
/// is summed into matrix k of the result, for as many as all of them have.
/// MPSMatrixSum.
///
/// Sources, result and bias are Float32 or Float16 in any mix. PReLU is no
/// activation here.
class MatrixSum : public Kernel, public MatrixNeuronParameters {
public:
    using Kernel::encode;

    /// Throws InvalidArgument when a size is 0.
    MatrixSum(const MTL::Device& device, uint64_t count, uint64_t rows, uint64_t columns,
              bool transpose);
    MatrixSum(KeyedUnarchiver& coder, const MTL::Device& device)
        : MatrixSum(deviceFor(coder, device), 1, 1, 1, false) {
        unarchive(coder);
    }

    uint64_t count() const { return count_; }
    uint64_t rows() const { return rows_; }
    uint64_t columns() const { return columns_; }
    bool transpose() const { return transpose_; }
    MTL::Origin resultMatrixOrigin() const { return resultMatrixOrigin_; }
    void setResultMatrixOrigin(MTL::Origin v) { resultMatrixOrigin_ = v; }

    /// `scaleVector` is Float32, empty: 1 for all. `offsetVector` is UInt32, two
    /// numbers for each source: row and column of its first element; empty: 0 for
    /// all. What lies beyond a source's end because of its offset counts as 0.
    /// `biasVector` may be empty: none. `startIndex` is the entry of the scales
    /// and of the offsets that belongs to the first source.
    ///
    /// Throws InvalidArgument when an operand is missing, of another device,
    /// spent, of another type, too small, or overlaps the result, and for an
    /// unknown activation.
    void encode(const MTL::CommandBuffer& commandBuffer, const std::vector<Matrix>& sourceMatrices,
                const Matrix& resultMatrix, const Vector& scaleVector, const Vector& offsetVector,
                const Vector& biasVector, uint64_t startIndex);

    std::string className() const override { return "MatrixSum"; }
    MatrixSum copy(const MTL::Device& device) const { return copied(*this, device); }

private:
    void archive(mps::Archive& archive) override;

    uint64_t count_, rows_, columns_;
    bool transpose_;
    MTL::Origin resultMatrixOrigin_;
};

} // namespace mpsvk::MPS
