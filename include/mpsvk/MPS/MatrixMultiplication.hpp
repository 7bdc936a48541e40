// Products of matrices, and of a matrix and a vector.
#pragma once

#include <mpsvk/MPS/Matrix.hpp>

namespace mpsvk::MPS {

/// C = alpha * op(A) * op(B) + beta * C, where op transposes or not; A is the left matrix, B the
/// right one, C the result. op(A) is resultRows x interiorColumns and op(B) interiorColumns x
/// resultColumns, from their origins on. Matrix k of the batch range belongs to matrix k of every
/// operand. With beta = 0 the result's former contents do not count, not even NaN.
///
/// Operands are Float32 or Float16 in any mix; sums are formed in fp32 in a fixed order. Has no
/// gradient class: dA = alpha * G * op(B)^T and dB = alpha * op(A)^T * G are products again.
/// MPSMatrixMultiplication.
class MatrixMultiplication : public Kernel {
public:
    using Kernel::encode;

    /// Throws InvalidArgument when a size is 0.
    MatrixMultiplication(const MTL::Device& device, bool transposeLeft, bool transposeRight,
                         uint64_t resultRows, uint64_t resultColumns, uint64_t interiorColumns,
                         double alpha, double beta);
    /// Nothing transposed, alpha 1, beta 0.
    MatrixMultiplication(const MTL::Device& device, uint64_t resultRows, uint64_t resultColumns,
                         uint64_t interiorColumns)
        : MatrixMultiplication(device, false, false, resultRows, resultColumns, interiorColumns, 1,
                               0) {}
    MatrixMultiplication(KeyedUnarchiver& coder, const MTL::Device& device)
        : MatrixMultiplication(deviceFor(coder, device), 1, 1, 1) {
        unarchive(coder);
    }

    MTL::Origin leftMatrixOrigin() const { return leftMatrixOrigin_; }
    void setLeftMatrixOrigin(MTL::Origin v) { leftMatrixOrigin_ = v; }
    MTL::Origin rightMatrixOrigin() const { return rightMatrixOrigin_; }
    void setRightMatrixOrigin(MTL::Origin v) { rightMatrixOrigin_ = v; }
    MTL::Origin resultMatrixOrigin() const { return resultMatrixOrigin_; }
    void setResultMatrixOrigin(MTL::Origin v) { resultMatrixOrigin_ = v; }
    uint64_t batchStart() const { return batchStart_; }
    void setBatchStart(uint64_t v) { batchStart_ = v; }
    uint64_t batchSize() const { return batchSize_; }
    void setBatchSize(uint64_t v) { batchSize_ = v; }

    /// Throws InvalidArgument when an operand is empty, of another device, spent, of another type,
    /// too small, or overlaps the result.
    void encode(const MTL::CommandBuffer& commandBuffer, const Matrix& leftMatrix,
                const Matrix& rightMatrix, const Matrix& resultMatrix);

    std::string className() const override { return "MatrixMultiplication"; }
    MatrixMultiplication copy(const MTL::Device& device) const { return copied(*this, device); }

private:
    void archive(mps::Archive& archive) override;

    bool transposeLeft_, transposeRight_;
    uint64_t resultRows_, resultColumns_, interiorColumns_;
    double alpha_, beta_;
    MTL::Origin leftMatrixOrigin_, rightMatrixOrigin_, resultMatrixOrigin_;
    uint64_t batchStart_ = 0, batchSize_ = UINT64_MAX;
};

/// y = alpha * op(A) * x + beta * y. `rows` and `columns` are op(A)'s. The primary origin is A's;
/// the secondary origin's x is the first element of x, the result origin's x the first of y.
/// MPSMatrixVectorMultiplication.
class MatrixVectorMultiplication : public MatrixBinaryKernel {
public:
    using Kernel::encode;

    /// Throws InvalidArgument when a size is 0.
    MatrixVectorMultiplication(const MTL::Device& device, bool transpose, uint64_t rows,
                               uint64_t columns, double alpha, double beta);
    MatrixVectorMultiplication(const MTL::Device& device, uint64_t rows, uint64_t columns)
        : MatrixVectorMultiplication(device, false, rows, columns, 1, 0) {}
    MatrixVectorMultiplication(KeyedUnarchiver& coder, const MTL::Device& device)
        : MatrixVectorMultiplication(deviceFor(coder, device), 1, 1) {
        unarchive(coder);
    }

    void encode(const MTL::CommandBuffer& commandBuffer, const Matrix& inputMatrix,
                const Vector& inputVector, const Vector& resultVector);

    std::string className() const override { return "MatrixVectorMultiplication"; }
    MatrixVectorMultiplication copy(const MTL::Device& device) const {
        return copied(*this, device);
    }

private:
    void archive(mps::Archive& archive) override;

    bool transpose_;
    uint64_t rows_, columns_;
    double alpha_, beta_;
};

} // namespace mpsvk::MPS
