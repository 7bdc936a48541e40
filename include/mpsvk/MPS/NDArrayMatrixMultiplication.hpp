// Products of the matrices in arrays.
#pragma once

#include <mpsvk/MPS/NDArrayKernel.hpp>

namespace mpsvk::MPS {

/// D = alpha * A * B + beta * C, matrix by matrix. Dimension 0 counts a matrix's columns, dimension
/// 1 its rows; along dimensions 2 and 3 the matrices of A, B and C belong together, and where an
/// operand has length 1 its matrices are used for all. C, of D's shape apart from that, is the
/// third source; with sourceCount 2 there is none. With beta = 0 C's values do not count, not even
/// NaN.
///
/// Operands are Float32 or Float16 in any mix; D is of A's type unless a destination is given. Sums
/// are formed in fp32 in a fixed order. Has no gradient class: dA = alpha * G * B^T and dB = alpha
/// * A^T * G are products of transposed views. MPSNDArrayMatrixMultiplication.
class NDArrayMatrixMultiplication : public NDArrayMultiaryKernel {
public:
    /// Throws InvalidArgument when sourceCount is not 2 or 3.
    NDArrayMatrixMultiplication(const MTL::Device& device, uint64_t sourceCount);
    NDArrayMatrixMultiplication(KeyedUnarchiver& coder, const MTL::Device& device)
        : NDArrayMatrixMultiplication(deviceFor(coder, device), 2) {
        unarchive(coder);
    }

    double alpha() const { return alpha_; }
    void setAlpha(double v) { alpha_ = v; }
    double beta() const { return beta_; }
    void setBeta(double v) { beta_ = v; }

    std::string className() const override { return "NDArrayMatrixMultiplication"; }
    NDArrayMatrixMultiplication copy(const MTL::Device& device) const {
        return copied(*this, device);
    }

private:
    void archive(mps::Archive& archive) override;
    NDArrayDescriptor resultDescriptor(const std::vector<NDArray>& sources) const override;
    bool takesResultType(DataType type) const override;
    void dispatch(const mps::NDPass& pass) const override;

    double alpha_ = 1, beta_ = 1;
};

} // namespace mpsvk::MPS
