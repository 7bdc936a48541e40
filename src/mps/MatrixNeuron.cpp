#include "mps/MatrixNeuron.hpp"

#include "MatrixNeuron.h"
#include "mps/Archive.hpp"
#include "mps/MatrixColumnSums.hpp"

#include <mpsvk/MPS/MatrixNeuron.hpp>

namespace mpsvk::mps {

void checkNeuron(const std::string& who, const MPS::NNNeuronDescriptor& neuron) {
    if (neuron.neuronType() == MPS::CNNNeuronType::PReLU)
        throw InvalidArgument(who + "neuronType is PReLU but this kernel has no slopes for it.");
    slopesOf(who, {}, neuron);
}

} // namespace mpsvk::mps

namespace mpsvk::MPS {

namespace {

using mps::MatrixOperand;

/// The operands of an encode, forward or backward.
struct Pass {
    mps::MatrixOperands& operands;
    MatrixOperand source, bias, gradient, result; ///< bias, gradient: perhaps none
    const NNNeuronDescriptor& neuron;
    double alpha;
    vk::BufferSlice slopes;

    void check(const Vector& biasVector, uint64_t rows, uint64_t columns) {
        mps::checkSlopes(operands.who(), neuron, columns);
        if (biasVector) {
            bias = operands.takeForAll("biasVector", biasVector);
            operands.checkHolds(bias, 1, columns);
            operands.checkApart(result, bias);
            bias = bias.cut(1, columns);
        }
        operands.checkHolds(result, rows, columns);
        for (MatrixOperand* operand : {&source, &gradient, &result}) {
            if (!operand->storage) continue;
            operands.checkApartOrSame(result, *operand);
            *operand = operand->cut(rows, columns);
        }
    }

    glsl::MatrixNeuronParameters parameters() const {
        glsl::MatrixNeuronParameters p{};
        p.source = source.view;
        p.bias = bias.view;
        p.gradient = gradient.view;
        p.result = result.view;
        p.matrices = uint32_t(operands.batch());
        p.channels = result.view.columns;
        p.alpha = float(alpha);
        mps::setNeuron(p, neuron);
        return p;
    }

    /// Matrices whose rows follow each other without gaps, as one row: it is aligned more often.
    void join() {
        for (const MatrixOperand* operand : {&source, &gradient, &result})
            if (operand->storage && !operand->isGapless()) return;
        for (MatrixOperand* operand : {&source, &gradient, &result})
            if (operand->storage) *operand = operand->joined(operands.batch());
    }

    void dispatch(const char* shader, const glsl::MatrixNeuronParameters& p, const mps::Grid& grid,
                  const vk::BufferSlice& sums = {}) {
        operands.encoder().dispatch(
            shader, p, grid,
            {{1, source.slice},
             {2, bias.slice},
             {3, slopes},
             {4, result.slice},
             {5, gradient.slice},
             {6, sums}},
            {mps::constant(1, source.typeConstant()), mps::constant(2, bias.typeConstant()),
             mps::constant(4, result.typeConstant()), mps::constant(5, gradient.typeConstant()),
             mps::constant(32, uint32_t(neuron.neuronType())),
             mps::constant(33, uint32_t(bool(bias.storage)))});
    }

    void dispatchElements(const char* shader) {
        glsl::MatrixNeuronParameters p = parameters();
        if (p.channels % 4 != 0) join();
        p.source = source.view;
        p.gradient = gradient.view;
        p.result = result.view;
        dispatch(
            shader, p,
            mps::Grid::of(vk::roundUp(result.columns(), 4) / 4 * result.rows() * operands.batch()));
    }
};

} // namespace

void MatrixNeuronProperties::archive(mps::Archive& archive) {
    archive("sourceNumberOfFeatureVectors", sourceNumberOfFeatureVectors_);
    archive("sourceInputFeatureChannels", sourceInputFeatureChannels_);
    archive("alpha", alpha_);
    archive("neuron", neuron_);
    if (archive.isReading()) slopes_ = {};
}

void MatrixNeuron::archive(mps::Archive& archive) {
    MatrixUnaryKernel::archive(archive);
    MatrixNeuronProperties::archive(archive);
}

void MatrixNeuron::encode(const MTL::CommandBuffer& commandBuffer, const Matrix& inputMatrix,
                          const Vector& biasVector, const Matrix& resultMatrix) {
    mps::MatrixOperands operands(*this, device(), commandBuffer, batchStart(), batchSize());
    if (!slopes_) slopes_ = mps::slopesOf(subject(), device(), neuron_);
    Pass pass{operands,
              operands.take("inputMatrix", inputMatrix, sourceMatrixOrigin()),
              {},
              {},
              operands.take("resultMatrix", resultMatrix, resultMatrixOrigin()),
              neuron_,
              alpha_,
              mps::sliceOf(slopes_)};
    pass.check(biasVector,
               operands.extent("sourceNumberOfFeatureVectors", sourceNumberOfFeatureVectors_,
                               pass.source.rows()),
               operands.extent("sourceInputFeatureChannels", sourceInputFeatureChannels_,
                               pass.source.columns()));
    pass.dispatchElements("MatrixNeuron");
    mps::MatrixOperands::markRead({&pass.source, &pass.bias});
}

void MatrixNeuronGradient::archive(mps::Archive& archive) {
    MatrixBinaryKernel::archive(archive);
    MatrixNeuronProperties::archive(archive);
}

void MatrixNeuronGradient::encode(const MTL::CommandBuffer& commandBuffer,
                                  const Matrix& gradientMatrix, const Matrix& inputMatrix,
                                  const Vector& biasVector,
                                  const Matrix& resultGradientForDataMatrix,
                                  const Vector& resultGradientForBiasVector) {
    mps::MatrixOperands operands(*this, device(), commandBuffer, batchStart(), batchSize());
    if (!slopes_) slopes_ = mps::slopesOf(subject(), device(), neuron_);
    const auto gradient =
        operands.take("gradientMatrix", gradientMatrix, primarySourceMatrixOrigin());
    const auto source = operands.take("inputMatrix", inputMatrix, secondarySourceMatrixOrigin());
    Pass pass{operands,
              source,
              {},
              gradient,
              operands.take("resultGradientForDataMatrix", resultGradientForDataMatrix,
                            resultMatrixOrigin()),
              neuron_,
              alpha_,
              mps::sliceOf(slopes_)};
    const uint64_t rows = operands.extent("sourceNumberOfFeatureVectors",
                                          sourceNumberOfFeatureVectors_,
                                          std::min(source.rows(), gradient.rows())),
                   columns =
                       operands.extent("sourceInputFeatureChannels", sourceInputFeatureChannels_,
                                       std::min(source.columns(), gradient.columns()));
    MatrixOperand biasGradient;
    if (resultGradientForBiasVector) {
        biasGradient =
            operands.takeForAll("resultGradientForBiasVector", resultGradientForBiasVector);
        operands.checkHolds(biasGradient, 1, columns);
        if (operands.batch() > mps::ColumnSums::maximumMatrices)
            throw InvalidArgument(subject() + "The gradient of the bias is of " +
                                  std::to_string(operands.batch()) + " matrices but of at most " +
                                  std::to_string(mps::ColumnSums::maximumMatrices) + ".");
    }
    pass.check(biasVector, rows, columns);
    if (biasGradient.storage) {
        for (const MatrixOperand* operand :
             {&pass.source, &pass.gradient, &pass.bias, &pass.result})
            if (operand->storage) operands.checkApart(biasGradient, *operand);
        mps::ColumnSums sums(operands.encoder(), rows, columns, operands.batch());
        glsl::MatrixNeuronParameters p = pass.parameters();
        p.sums = sums.parts.view;
        p.lanes = sums.lanes;
        p.splitRows = sums.splitRows;
        pass.dispatch("MatrixNeuronGradientSums", p, sums.grid, sums.parts.slice);
        sums.addUp(biasGradient.cut(1, columns), resultGradientForBiasVector.vectors() == 1);
    } else {
        pass.dispatchElements("MatrixNeuronGradient");
    }
    mps::MatrixOperands::markRead({&pass.gradient, &pass.source, &pass.bias});
}

} // namespace mpsvk::MPS
