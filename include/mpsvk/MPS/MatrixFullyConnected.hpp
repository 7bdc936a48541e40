// MPSMatrixFullyConnected and its gradient: a layer of weights on feature vectors.
//
// Rows of the data are feature vectors, columns feature channels; the weights are stored with a row
// for each input channel and a column for each output channel. Counted from the origins on, at most
// sourceNumberOfFeatureVectors, sourceInputFeatureChannels and sourceOutputFeatureChannels take
// part, and of several sources as many as each has; the results must have room for them. Matrix k
// of the batch range belongs to matrix k of every operand; a vector object of one vector serves all
// of them. Vectors are in use from their first element on.
//
// Operands are Float32 or Float16 in any mix; sums are formed in fp32 in a fixed order. Encodes
// throw InvalidArgument when an operand is empty, of another device, spent, of another type, too
// small, or overlaps a result; and when a size is 0.
#pragma once

#include <mpsvk/MPS/Matrix.hpp>
#include <mpsvk/MPS/MatrixNeuronParameters.hpp>

namespace mpsvk::MPS {

/// What MatrixFullyConnected and its gradient have in common.
class MatrixFullyConnectedProperties {
public:
    uint64_t sourceNumberOfFeatureVectors() const { return sourceNumberOfFeatureVectors_; }
    void setSourceNumberOfFeatureVectors(uint64_t v) { sourceNumberOfFeatureVectors_ = v; }
    uint64_t sourceInputFeatureChannels() const { return sourceInputFeatureChannels_; }
    void setSourceInputFeatureChannels(uint64_t v) { sourceInputFeatureChannels_ = v; }
    uint64_t sourceOutputFeatureChannels() const { return sourceOutputFeatureChannels_; }
    void setSourceOutputFeatureChannels(uint64_t v) { sourceOutputFeatureChannels_ = v; }
    double alpha() const { return alpha_; }
    void setAlpha(double v) { alpha_ = v; }

protected:
    void archive(mps::Archive& archive);

    uint64_t sourceNumberOfFeatureVectors_ = UINT64_MAX;
    uint64_t sourceInputFeatureChannels_ = UINT64_MAX, sourceOutputFeatureChannels_ = UINT64_MAX;
    double alpha_ = 1;
};

/// Y = f(alpha * X * W + b): X (primary source) is N x I, W (secondary source) I x O, the bias b,
/// if it is given, has O elements and is added to every row, and f is the neuron.
/// MPSMatrixFullyConnected.
class MatrixFullyConnected : public MatrixBinaryKernel,
                             public MatrixFullyConnectedProperties,
                             public MatrixNeuronParameters {
public:
    using Kernel::encode;

    explicit MatrixFullyConnected(const MTL::Device& device) : MatrixBinaryKernel(device) {}
    MatrixFullyConnected(KeyedUnarchiver& coder, const MTL::Device& device)
        : MatrixFullyConnected(deviceFor(coder, device)) {
        unarchive(coder);
    }

    /// `biasVector` may be empty: none. Throws InvalidArgument for an unknown neuron type and for
    /// PReLU, too.
    void encode(const MTL::CommandBuffer& commandBuffer, const Matrix& inputMatrix,
                const Matrix& weightMatrix, const Vector& biasVector, const Matrix& resultMatrix);

    std::string className() const override { return "MatrixFullyConnected"; }
    MatrixFullyConnected copy(const MTL::Device& device) const { return copied(*this, device); }

private:
    void archive(mps::Archive& archive) override;
};

/// The gradient of a layer without a neuron (that of a neuron is MatrixNeuronGradient's), from the
/// gradient G of its result (primary source, N x O). Results are overwritten, not added to.
/// MPSMatrixFullyConnectedGradient.
class MatrixFullyConnectedGradient : public MatrixBinaryKernel,
                                     public MatrixFullyConnectedProperties {
public:
    using Kernel::encode;

    explicit MatrixFullyConnectedGradient(const MTL::Device& device) : MatrixBinaryKernel(device) {}
    MatrixFullyConnectedGradient(KeyedUnarchiver& coder, const MTL::Device& device)
        : MatrixFullyConnectedGradient(deviceFor(coder, device)) {
        unarchive(coder);
    }

    /// dX = alpha * G * W^T, N x I; W is the secondary source.
    void encodeGradientForData(const MTL::CommandBuffer& commandBuffer,
                               const Matrix& gradientMatrix, const Matrix& weightMatrix,
                               const Matrix& resultGradientForDataMatrix);
    /// dW = alpha * X^T * G, I x O; X is the secondary source. db_j = sum_i G_ij, without alpha;
    /// `resultGradientForBiasVector` may be empty: not wanted. One of a vector object with one
    /// vector is the sum over all matrices of the batch.
    void encodeGradientForWeightsAndBias(const MTL::CommandBuffer& commandBuffer,
                                         const Matrix& gradientMatrix, const Matrix& inputMatrix,
                                         const Matrix& resultGradientForWeightMatrix,
                                         const Vector& resultGradientForBiasVector);

    std::string className() const override { return "MatrixFullyConnectedGradient"; }
    MatrixFullyConnectedGradient copy(const MTL::Device& device) const {
        return copied(*this, device);
    }

private:
    void archive(mps::Archive& archive) override;
};

} // namespace mpsvk::MPS
