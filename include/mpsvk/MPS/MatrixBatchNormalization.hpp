// MPSMatrixBatchNormalization and its gradient.
//
// Rows are feature vectors, columns feature channels: counted from the origins on, at most
// sourceNumberOfFeatureVectors and sourceInputFeatureChannels of them, and of several sources as
// many as each has; the results must have room for them. Matrix k of the batch range belongs to
// matrix k of every operand; a vector object of one vector serves all of them, unless its vector is
// written by computeStatistics. Vectors are in use from their first element on.
//
// Operands are Float32 or Float16 in any mix; sums are formed in fp32 in a fixed order. The result
// may be a source matrix, with the same origin; else it must not overlap it. Encodes throw
// InvalidArgument when an operand is empty, of another device, spent, of another type, too small,
// or overlaps a result; when a size is 0; for an unknown neuron type and for PReLU; and for a
// negative epsilon.
#pragma once

#include <mpsvk/MPS/Matrix.hpp>
#include <mpsvk/MPS/MatrixNeuronParameters.hpp>

#include <limits>

namespace mpsvk::MPS {

/// What MatrixBatchNormalization and its gradient have in common.
class MatrixBatchNormalizationProperties : public MatrixNeuronParameters {
public:
    uint64_t sourceNumberOfFeatureVectors() const { return sourceNumberOfFeatureVectors_; }
    void setSourceNumberOfFeatureVectors(uint64_t v) { sourceNumberOfFeatureVectors_ = v; }
    uint64_t sourceInputFeatureChannels() const { return sourceInputFeatureChannels_; }
    void setSourceInputFeatureChannels(uint64_t v) { sourceInputFeatureChannels_ = v; }
    /// Added to the variance; FLT_MIN at first.
    float epsilon() const { return epsilon_; }
    void setEpsilon(float v) { epsilon_ = v; }

protected:
    void archive(mps::Archive& archive);

    uint64_t sourceNumberOfFeatureVectors_ = UINT64_MAX, sourceInputFeatureChannels_ = UINT64_MAX;
    float epsilon_ = std::numeric_limits<float>::min();
};

/// y_ij = f(gamma_j * (x_ij - mean_j) / sqrt(variance_j + epsilon) + beta_j), where f is the
/// neuron. MPSMatrixBatchNormalization.
class MatrixBatchNormalization : public MatrixUnaryKernel,
                                 public MatrixBatchNormalizationProperties {
public:
    using Kernel::encode;

    explicit MatrixBatchNormalization(const MTL::Device& device) : MatrixUnaryKernel(device) {}
    MatrixBatchNormalization(KeyedUnarchiver& coder, const MTL::Device& device)
        : MatrixBatchNormalization(deviceFor(coder, device)) {
        unarchive(coder);
    }

    /// True: mean and variance (the population's) of the columns are computed first, written into
    /// the vectors, and used as these hold them. False, as at first: they are given.
    bool computeStatistics() const { return computeStatistics_; }
    void setComputeStatistics(bool v) { computeStatistics_ = v; }

    /// `gammaVector` may be empty: ones; `betaVector`, too: zeros.
    void encode(const MTL::CommandBuffer& commandBuffer, const Matrix& inputMatrix,
                const Vector& meanVector, const Vector& varianceVector, const Vector& gammaVector,
                const Vector& betaVector, const Matrix& resultMatrix);

    std::string className() const override { return "MatrixBatchNormalization"; }
    MatrixBatchNormalization copy(const MTL::Device& device) const { return copied(*this, device); }

private:
    void archive(mps::Archive& archive) override;

    bool computeStatistics_ = false;
};

/// From the gradient G of the result (primary source) and the forward source X (secondary source),
/// with n_ij = (x_ij - mean_j) / s_j, s_j = sqrt(variance_j + epsilon), T_ij = G_ij * f'(gamma_j *
/// n_ij + beta_j), and N rows:
///
///     dbeta_j = sum_i T_ij    dgamma_j = sum_i T_ij * n_ij
///     dx_ij = gamma_j / s_j * (T_ij - dbeta_j / N - n_ij * dgamma_j / N)
///
/// For f' at kinks see CNNNeuronGradient. MPSMatrixBatchNormalizationGradient.
class MatrixBatchNormalizationGradient : public MatrixBinaryKernel,
                                         public MatrixBatchNormalizationProperties {
public:
    using Kernel::encode;

    explicit MatrixBatchNormalizationGradient(const MTL::Device& device)
        : MatrixBinaryKernel(device) {}
    MatrixBatchNormalizationGradient(KeyedUnarchiver& coder, const MTL::Device& device)
        : MatrixBatchNormalizationGradient(deviceFor(coder, device)) {
        unarchive(coder);
    }

    /// An extension. True: mean and variance are constants, as where the forward pass was given
    /// them, and dx_ij = gamma_j / s_j * T_ij. False, as at first: they are those of the rows.
    bool statisticsAreConstant() const { return statisticsAreConstant_; }
    void setStatisticsAreConstant(bool v) { statisticsAreConstant_ = v; }

    /// `gammaVector` may be empty: ones; `betaVector`, too: zeros. Of the gradients of these,
    /// either may be empty: not wanted. One of a vector object with one vector is the sum over all
    /// matrices of the batch.
    void encode(const MTL::CommandBuffer& commandBuffer, const Matrix& gradientMatrix,
                const Matrix& inputMatrix, const Vector& meanVector, const Vector& varianceVector,
                const Vector& gammaVector, const Vector& betaVector,
                const Matrix& resultGradientForDataMatrix,
                const Vector& resultGradientForGammaVector,
                const Vector& resultGradientForBetaVector);

    std::string className() const override { return "MatrixBatchNormalizationGradient"; }
    MatrixBatchNormalizationGradient copy(const MTL::Device& device) const {
        return copied(*this, device);
    }

private:
    void archive(mps::Archive& archive) override;

    bool statisticsAreConstant_ = false;
};

} // namespace mpsvk::MPS
