#include "MatrixSoftMax.h"

#include "mps/Archive.hpp"
#include "mps/MatrixRows.hpp"

#include <mpsvk/MPS/MatrixSoftMax.hpp>

namespace mpsvk::MPS {

namespace {

template <class Parameters>
void dispatch(mps::MatrixOperands& operands, const char* shader, Parameters& p, bool logarithm,
              std::initializer_list<const mps::MatrixOperand*> all) {
    mps::MatrixRows rows(operands.encoder(), operands.batch(), all);
    p.matrices = uint32_t(operands.batch());
    p.blocks = rows.blocks;
    rows.constants.push_back(mps::constant(35, uint32_t(logarithm)));
    std::vector<mps::Operand> bindings;
    for (uint32_t number = 1; const mps::MatrixOperand* operand : all)
        bindings.emplace_back(number++, operand->slice);
    operands.encoder().dispatchBytes(shader, std::as_bytes(std::span(&p, 1)), rows.grid, bindings,
                                     rows.constants, {});
}

} // namespace

void MatrixSoftMax::archive(mps::Archive& archive) {
    MatrixUnaryKernel::archive(archive);
    archive("sourceRows", sourceRows_);
    archive("sourceColumns", sourceColumns_);
}

void MatrixSoftMax::encode(const MTL::CommandBuffer& commandBuffer, const Matrix& inputMatrix,
                           const Matrix& resultMatrix) {
    mps::MatrixOperands operands(*this, device(), commandBuffer, batchStart(), batchSize());
    auto source = operands.take("inputMatrix", inputMatrix, sourceMatrixOrigin());
    auto result = operands.take("resultMatrix", resultMatrix, resultMatrixOrigin());
    const uint64_t rows = operands.extent("sourceRows", sourceRows_, source.rows()),
                   columns = operands.extent("sourceColumns", sourceColumns_, source.columns());
    operands.checkHolds(result, rows, columns);
    operands.checkApartOrSame(result, source);
    source = source.cut(rows, columns);
    result = result.cut(rows, columns);
    glsl::MatrixSoftMaxParameters p{};
    p.source = source.view;
    p.result = result.view;
    dispatch(operands, "MatrixSoftMax", p, isLogarithm(), {&source, &result});
    mps::MatrixOperands::markRead({&source});
}

void MatrixSoftMaxGradient::archive(mps::Archive& archive) {
    MatrixBinaryKernel::archive(archive);
    archive("sourceRows", sourceRows_);
    archive("sourceColumns", sourceColumns_);
}

void MatrixSoftMaxGradient::encode(const MTL::CommandBuffer& commandBuffer,
                                   const Matrix& gradientMatrix, const Matrix& forwardOutputMatrix,
                                   const Matrix& resultMatrix) {
    mps::MatrixOperands operands(*this, device(), commandBuffer, batchStart(), batchSize());
    auto gradient = operands.take("gradientMatrix", gradientMatrix, primarySourceMatrixOrigin());
    auto forward =
        operands.take("forwardOutputMatrix", forwardOutputMatrix, secondarySourceMatrixOrigin());
    auto result = operands.take("resultMatrix", resultMatrix, resultMatrixOrigin());
    const uint64_t rows = operands.extent("sourceRows", sourceRows_,
                                          std::min(gradient.rows(), forward.rows())),
                   columns = operands.extent("sourceColumns", sourceColumns_,
                                             std::min(gradient.columns(), forward.columns()));
    operands.checkHolds(result, rows, columns);
    operands.checkApartOrSame(result, gradient);
    operands.checkApartOrSame(result, forward);
    gradient = gradient.cut(rows, columns);
    forward = forward.cut(rows, columns);
    result = result.cut(rows, columns);
    glsl::MatrixSoftMaxGradientParameters p{};
    p.gradient = gradient.view;
    p.forward = forward.view;
    p.result = result.view;
    dispatch(operands, "MatrixSoftMaxGradient", p, isLogarithm(), {&gradient, &forward, &result});
    mps::MatrixOperands::markRead({&gradient, &forward});
}

} // namespace mpsvk::MPS
