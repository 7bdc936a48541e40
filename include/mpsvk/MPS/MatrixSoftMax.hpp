// MPSMatrixSoftMax, MPSMatrixLogSoftMax and their gradients: over the rows of matrices.
//
// Every row is a sample; sums run over its columns. Rows and columns are counted from the origins
// on, at most sourceRows and sourceColumns of them, and of several sources as many as each has; the
// result must have room for them. Matrix k of the batch range belongs to matrix k of every operand.
//
// Operands are Float32 or Float16 in any mix (Apple's are all of one type); sums are formed in fp32
// in a fixed order. The result may be one of the sources, with the same origin; else it must not
// overlap them.
//
// Encodes throw InvalidArgument when an operand is empty, of another device, spent, of another
// type, too small, or overlaps the result, and when sourceRows or sourceColumns is 0.
#pragma once

#include <mpsvk/MPS/Matrix.hpp>

namespace mpsvk::MPS {

/// Y_ij = e^X_ij / sum_k e^X_ik, computed as e^(X_ij - m) / sum_k e^(X_ik - m) with m the row's
/// largest element: no X is too large. So, by IEEE's rules, a row with a NaN or +infinity in it, or
/// of -infinity alone, becomes NaN throughout; in other rows -infinity gives 0. Results below the
/// smallest normal number are 0. MPSMatrixSoftMax.
class MatrixSoftMax : public MatrixUnaryKernel {
public:
    using Kernel::encode;

    explicit MatrixSoftMax(const MTL::Device& device) : MatrixUnaryKernel(device) {}
    MatrixSoftMax(KeyedUnarchiver& coder, const MTL::Device& device)
        : MatrixSoftMax(deviceFor(coder, device)) {
        unarchive(coder);
    }

    uint64_t sourceRows() const { return sourceRows_; }
    void setSourceRows(uint64_t v) { sourceRows_ = v; }
    uint64_t sourceColumns() const { return sourceColumns_; }
    void setSourceColumns(uint64_t v) { sourceColumns_ = v; }

    void encode(const MTL::CommandBuffer& commandBuffer, const Matrix& inputMatrix,
                const Matrix& resultMatrix);

    std::string className() const override { return "MatrixSoftMax"; }
    MatrixSoftMax copy(const MTL::Device& device) const { return copied(*this, device); }

protected:
    void archive(mps::Archive& archive) override;

private:
    virtual bool isLogarithm() const { return false; }

    uint64_t sourceRows_ = UINT64_MAX, sourceColumns_ = UINT64_MAX;
};

/// Y_ij = X_ij - ln(sum_k e^X_ik). Rows become NaN as MatrixSoftMax's do; in others -infinity stays
/// what it is. MPSMatrixLogSoftMax.
class MatrixLogSoftMax : public MatrixSoftMax {
public:
    explicit MatrixLogSoftMax(const MTL::Device& device) : MatrixSoftMax(device) {}
    MatrixLogSoftMax(KeyedUnarchiver& coder, const MTL::Device& device)
        : MatrixLogSoftMax(deviceFor(coder, device)) {
        unarchive(coder);
    }

    std::string className() const override { return "MatrixLogSoftMax"; }
    MatrixLogSoftMax copy(const MTL::Device& device) const { return copied(*this, device); }

private:
    bool isLogarithm() const override { return true; }
};

/// dX_ij = Y_ij * (G_ij - sum_k G_ik*Y_ik), with G the gradient (primary source) and Y the forward
/// RESULT (secondary source), not the forward source. What is not finite in a row is carried
/// through the formula by IEEE's rules. MPSMatrixSoftMaxGradient.
class MatrixSoftMaxGradient : public MatrixBinaryKernel {
public:
    using Kernel::encode;

    explicit MatrixSoftMaxGradient(const MTL::Device& device) : MatrixBinaryKernel(device) {}
    MatrixSoftMaxGradient(KeyedUnarchiver& coder, const MTL::Device& device)
        : MatrixSoftMaxGradient(deviceFor(coder, device)) {
        unarchive(coder);
    }

    uint64_t sourceRows() const { return sourceRows_; }
    void setSourceRows(uint64_t v) { sourceRows_ = v; }
    uint64_t sourceColumns() const { return sourceColumns_; }
    void setSourceColumns(uint64_t v) { sourceColumns_ = v; }

    void encode(const MTL::CommandBuffer& commandBuffer, const Matrix& gradientMatrix,
                const Matrix& forwardOutputMatrix, const Matrix& resultMatrix);

    std::string className() const override { return "MatrixSoftMaxGradient"; }
    MatrixSoftMaxGradient copy(const MTL::Device& device) const { return copied(*this, device); }

protected:
    void archive(mps::Archive& archive) override;

private:
    virtual bool isLogarithm() const { return false; }

    uint64_t sourceRows_ = UINT64_MAX, sourceColumns_ = UINT64_MAX;
};

/// dX_ij = G_ij - e^Y_ij * sum_k G_ik; otherwise as MatrixSoftMaxGradient.
/// MPSMatrixLogSoftMaxGradient.
class MatrixLogSoftMaxGradient : public MatrixSoftMaxGradient {
public:
    explicit MatrixLogSoftMaxGradient(const MTL::Device& device) : MatrixSoftMaxGradient(device) {}
    MatrixLogSoftMaxGradient(KeyedUnarchiver& coder, const MTL::Device& device)
        : MatrixLogSoftMaxGradient(deviceFor(coder, device)) {
        unarchive(coder);
    }

    std::string className() const override { return "MatrixLogSoftMaxGradient"; }
    MatrixLogSoftMaxGradient copy(const MTL::Device& device) const { return copied(*this, device); }

private:
    bool isLogarithm() const override { return true; }
};

} // namespace mpsvk::MPS
