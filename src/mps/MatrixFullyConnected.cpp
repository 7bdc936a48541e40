#include <mpsvk/MPS/MatrixFullyConnected.hpp>

#include "mps/Archive.hpp"
#include "mps/MatrixColumnSums.hpp"
#include "mps/MatrixNeuron.hpp"
#include "mps/MatrixProduct.hpp"

#include <algorithm>

namespace mpsvk::MPS {

namespace {

/// Checks that the result has room for a product and shares no memory with what it is made of.
void checkProduct(mps::MatrixOperands& operands, mps::MatrixProduct& product, uint64_t rows,
                  uint64_t columns, uint64_t interior) {
    const auto cut = [](const mps::MatrixOperand& operand, uint64_t down, uint64_t across,
                        bool transposed) {
        return transposed ? operand.cut(across, down) : operand.cut(down, across);
    };
    mps::checkBatch(operands);
    operands.checkHolds(product.result, rows, columns);
    product.interior = interior;
    product.left = cut(product.left, rows, interior, product.transposeLeft);
    product.right = cut(product.right, interior, columns, product.transposeRight);
    product.result = product.result.cut(rows, columns);
    operands.checkApart(product.result, product.left);
    operands.checkApart(product.result, product.right);
}

} // namespace

void MatrixFullyConnectedProperties::archive(mps::Archive& archive) {
    archive("sourceNumberOfFeatureVectors", sourceNumberOfFeatureVectors_);
    archive("sourceInputFeatureChannels", sourceInputFeatureChannels_);
    archive("sourceOutputFeatureChannels", sourceOutputFeatureChannels_);
    archive("alpha", alpha_);
}

void MatrixFullyConnected::archive(mps::Archive& archive) {
    MatrixBinaryKernel::archive(archive);
    MatrixFullyConnectedProperties::archive(archive);
    archive("neuron", neuron_);
}

void MatrixFullyConnected::encode(const MTL::CommandBuffer& commandBuffer,
                                  const Matrix& inputMatrix, const Matrix& weightMatrix,
                                  const Vector& biasVector, const Matrix& resultMatrix) {
    mps::MatrixOperands operands(*this, device(), commandBuffer, batchStart(), batchSize());
    mps::checkNeuron(subject(), neuron_);
    const auto input = operands.take("inputMatrix", inputMatrix, primarySourceMatrixOrigin()),
               weights = operands.take("weightMatrix", weightMatrix, secondarySourceMatrixOrigin()),
               result = operands.take("resultMatrix", resultMatrix, resultMatrixOrigin());
    const uint64_t vectors = operands.extent("sourceNumberOfFeatureVectors",
                                             sourceNumberOfFeatureVectors_, input.rows()),
                   inputs =
                       operands.extent("sourceInputFeatureChannels", sourceInputFeatureChannels_,
                                       std::min(input.columns(), weights.rows())),
                   outputs = operands.extent("sourceOutputFeatureChannels",
                                             sourceOutputFeatureChannels_, weights.columns());
    mps::MatrixProduct product{input, weights, result, false, false};
    product.alpha = alpha_;
    product.neuron = neuron_;
    checkProduct(operands, product, vectors, outputs, inputs);
    if (biasVector) {
        const auto bias = operands.takeForAll("biasVector", biasVector);
        operands.checkHolds(bias, 1, outputs);
        operands.checkApart(product.result, bias);
        product.bias = bias.cut(1, outputs);
    }
    product.matrices = operands.batch();
    mps::encodeProduct(operands.encoder(), product);
    mps::MatrixOperands::markRead({&product.left, &product.right, &product.bias});
}

void MatrixFullyConnectedGradient::archive(mps::Archive& archive) {
    MatrixBinaryKernel::archive(archive);
    MatrixFullyConnectedProperties::archive(archive);
}

void MatrixFullyConnectedGradient::encodeGradientForData(
    const MTL::CommandBuffer& commandBuffer, const Matrix& gradientMatrix,
    const Matrix& weightMatrix, const Matrix& resultGradientForDataMatrix) {
    mps::MatrixOperands operands(*this, device(), commandBuffer, batchStart(), batchSize());
    const auto gradient =
                   operands.take("gradientMatrix", gradientMatrix, primarySourceMatrixOrigin()),
               weights = operands.take("weightMatrix", weightMatrix, secondarySourceMatrixOrigin()),
               result = operands.take("resultGradientForDataMatrix", resultGradientForDataMatrix,
                                      resultMatrixOrigin());
    const uint64_t vectors = operands.extent("sourceNumberOfFeatureVectors",
                                             sourceNumberOfFeatureVectors_, gradient.rows()),
                   inputs = operands.extent("sourceInputFeatureChannels",
                                            sourceInputFeatureChannels_, weights.rows()),
                   outputs =
                       operands.extent("sourceOutputFeatureChannels", sourceOutputFeatureChannels_,
                                       std::min(gradient.columns(), weights.columns()));
    mps::MatrixProduct product{gradient, weights, result, false, true};
    product.alpha = alpha_;
    checkProduct(operands, product, vectors, inputs, outputs);
    product.matrices = operands.batch();
    mps::encodeProduct(operands.encoder(), product);
    mps::MatrixOperands::markRead({&product.left, &product.right});
}

void MatrixFullyConnectedGradient::encodeGradientForWeightsAndBias(
    const MTL::CommandBuffer& commandBuffer, const Matrix& gradientMatrix,
    const Matrix& inputMatrix, const Matrix& resultGradientForWeightMatrix,
    const Vector& resultGradientForBiasVector) {
    mps::MatrixOperands operands(*this, device(), commandBuffer, batchStart(), batchSize());
    const auto gradient =
                   operands.take("gradientMatrix", gradientMatrix, primarySourceMatrixOrigin()),
               input = operands.take("inputMatrix", inputMatrix, secondarySourceMatrixOrigin()),
               result = operands.take("resultGradientForWeightMatrix",
                                      resultGradientForWeightMatrix, resultMatrixOrigin());
    const uint64_t vectors = operands.extent("sourceNumberOfFeatureVectors",
                                             sourceNumberOfFeatureVectors_,
                                             std::min(gradient.rows(), input.rows())),
                   inputs = operands.extent("sourceInputFeatureChannels",
                                            sourceInputFeatureChannels_, input.columns()),
                   outputs = operands.extent("sourceOutputFeatureChannels",
                                             sourceOutputFeatureChannels_, gradient.columns());
    mps::MatrixProduct product{input, gradient, result, true, false};
    product.alpha = alpha_;
    checkProduct(operands, product, inputs, outputs, vectors);
    mps::MatrixOperand bias;
    if (resultGradientForBiasVector) {
        bias = operands.takeForAll("resultGradientForBiasVector", resultGradientForBiasVector);
        operands.checkHolds(bias, 1, outputs);
        bias = bias.cut(1, outputs);
        for (const mps::MatrixOperand* other : {&product.left, &product.right, &product.result})
            operands.checkApart(bias, *other);
    }
    product.matrices = operands.batch();
    mps::encodeProduct(operands.encoder(), product);
    if (bias.storage)
        mps::sumColumns(operands.encoder(), product.right, bias, operands.batch(),
                        resultGradientForBiasVector.vectors() == 1);
    mps::MatrixOperands::markRead({&product.left, &product.right});
}

} // namespace mpsvk::MPS
