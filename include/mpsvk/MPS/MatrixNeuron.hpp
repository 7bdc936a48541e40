// MPSMatrixNeuron and its gradient: an activation of every element, with a bias for every column.
//
// Rows are feature vectors, columns feature channels: counted from the origins on, at most
// sourceNumberOfFeatureVectors and sourceInputFeatureChannels of them, and of several sources as
// many as each has; the results must have room for them. Matrix k of the batch range belongs to
// matrix k of every operand; a vector object of one vector serves all of them. Vectors are in use
// from their first element on.
//
// Operands are Float32 or Float16 in any mix. The result may be the source, with the same origin;
// else it must not overlap it. Encodes throw InvalidArgument when an operand is empty, of another
// device, spent, of another type, too small, or overlaps a result; when a size is 0; for an unknown
// neuron type; and when PReLU has fewer slopes than there are columns.
#pragma once

#include <mpsvk/MPS/Matrix.hpp>
#include <mpsvk/MPS/MatrixNeuronParameters.hpp>

namespace mpsvk::MPS {

/// What MatrixNeuron and its gradient have in common.
class MatrixNeuronProperties : public MatrixNeuronParameters {
public:
    uint64_t sourceNumberOfFeatureVectors() const { return sourceNumberOfFeatureVectors_; }
    void setSourceNumberOfFeatureVectors(uint64_t v) { sourceNumberOfFeatureVectors_ = v; }
    uint64_t sourceInputFeatureChannels() const { return sourceInputFeatureChannels_; }
    void setSourceInputFeatureChannels(uint64_t v) { sourceInputFeatureChannels_ = v; }
    double alpha() const { return alpha_; }
    void setAlpha(double v) { alpha_ = v; }
    void setNeuronType(CNNNeuronType neuronType, float parameterA = 0, float parameterB = 0,
                       float parameterC = 0) {
        MatrixNeuronParameters::setNeuronType(neuronType, parameterA, parameterB, parameterC);
        slopes_ = {};
    }
    /// PReLU with a slope for each column, copied. Parameters A and B become 0.
    void setNeuronToPReLU(std::span<const float> parametersA) {
        neuron_ = NNNeuronDescriptor::cnnNeuronPReLUDescriptor(parametersA);
        slopes_ = {};
    }

protected:
    void archive(mps::Archive& archive);

    uint64_t sourceNumberOfFeatureVectors_ = UINT64_MAX, sourceInputFeatureChannels_ = UINT64_MAX;
    double alpha_ = 1;
    MTL::Buffer slopes_; ///< of PReLU, made by the first encode
};

/// Y_ij = f(alpha*X_ij + b_j), with the bias b if it is given. MPSMatrixNeuron.
class MatrixNeuron : public MatrixUnaryKernel, public MatrixNeuronProperties {
public:
    using Kernel::encode;

    explicit MatrixNeuron(const MTL::Device& device) : MatrixUnaryKernel(device) {}
    MatrixNeuron(KeyedUnarchiver& coder, const MTL::Device& device)
        : MatrixNeuron(deviceFor(coder, device)) {
        unarchive(coder);
    }

    /// `biasVector` may be empty: none.
    void encode(const MTL::CommandBuffer& commandBuffer, const Matrix& inputMatrix,
                const Vector& biasVector, const Matrix& resultMatrix);

    std::string className() const override { return "MatrixNeuron"; }
    MatrixNeuron copy(const MTL::Device& device) const {
        MatrixNeuron made(*this);
        made.setDevice(device);
        made.slopes_ = {};
        return made;
    }

private:
    void archive(mps::Archive& archive) override;
};

/// With T_ij = G_ij * f'(alpha*X_ij + b_j): dX_ij = alpha*T_ij and db_j = sum_i T_ij, in a fixed
/// order. G is the gradient (primary source), X the forward source (secondary source); properties
/// and bias are the forward kernel's. For f' at kinks see CNNNeuronGradient. The slopes of PReLU
/// have no gradient. A gradient vector object of one vector is the sum over all matrices of the
/// batch. MPSMatrixNeuronGradient.
class MatrixNeuronGradient : public MatrixBinaryKernel, public MatrixNeuronProperties {
public:
    using Kernel::encode;

    explicit MatrixNeuronGradient(const MTL::Device& device) : MatrixBinaryKernel(device) {}
    MatrixNeuronGradient(KeyedUnarchiver& coder, const MTL::Device& device)
        : MatrixNeuronGradient(deviceFor(coder, device)) {
        unarchive(coder);
    }

    /// `biasVector` may be empty: none was added. `resultGradientForBiasVector` may be: not wanted.
    void encode(const MTL::CommandBuffer& commandBuffer, const Matrix& gradientMatrix,
                const Matrix& inputMatrix, const Vector& biasVector,
                const Matrix& resultGradientForDataMatrix,
                const Vector& resultGradientForBiasVector);

    std::string className() const override { return "MatrixNeuronGradient"; }
    MatrixNeuronGradient copy(const MTL::Device& device) const {
        MatrixNeuronGradient made(*this);
        made.setDevice(device);
        made.slopes_ = {};
        return made;
    }

private:
    void archive(mps::Archive& archive) override;
};

} // namespace mpsvk::MPS
