#include "MatrixMultiplication.h"

#include "mps/Archive.hpp"
#include "mps/MatrixColumnSums.hpp"
#include "mps/MatrixProduct.hpp"

#include <mpsvk/Error.hpp>
#include <mpsvk/MPS/MatrixMultiplication.hpp>

namespace mpsvk::MPS {

namespace {

void checkSizes(const char* className, std::initializer_list<uint64_t> sizes) {
    for (uint64_t size : sizes)
        if (size == 0)
            throw InvalidArgument("[" + std::string(className) +
                                  "] A size is 0 but each must be at least 1.");
}

} // namespace

MatrixMultiplication::MatrixMultiplication(const MTL::Device& device, bool transposeLeft,
                                           bool transposeRight, uint64_t resultRows,
                                           uint64_t resultColumns, uint64_t interiorColumns,
                                           double alpha, double beta)
    : Kernel(device), transposeLeft_(transposeLeft), transposeRight_(transposeRight),
      resultRows_(resultRows), resultColumns_(resultColumns), interiorColumns_(interiorColumns),
      alpha_(alpha), beta_(beta) {
    checkSizes("MatrixMultiplication", {resultRows, resultColumns, interiorColumns});
}

void MatrixMultiplication::archive(mps::Archive& archive) {
    Kernel::archive(archive);
    archive("transposeLeft", transposeLeft_);
    archive("transposeRight", transposeRight_);
    archive("resultRows", resultRows_);
    archive("resultColumns", resultColumns_);
    archive("interiorColumns", interiorColumns_);
    archive("alpha", alpha_);
    archive("beta", beta_);
    archive("leftMatrixOrigin", leftMatrixOrigin_);
    archive("rightMatrixOrigin", rightMatrixOrigin_);
    archive("resultMatrixOrigin", resultMatrixOrigin_);
    archive("batchStart", batchStart_);
    archive("batchSize", batchSize_);
    checkSizes("MatrixMultiplication", {resultRows_, resultColumns_, interiorColumns_});
}

void MatrixMultiplication::encode(const MTL::CommandBuffer& commandBuffer, const Matrix& leftMatrix,
                                  const Matrix& rightMatrix, const Matrix& resultMatrix) {
    mps::MatrixOperands operands(*this, device(), commandBuffer, batchStart_, batchSize_);
    auto left = operands.take("leftMatrix", leftMatrix, leftMatrixOrigin_);
    auto right = operands.take("rightMatrix", rightMatrix, rightMatrixOrigin_);
    auto result = operands.take("resultMatrix", resultMatrix, resultMatrixOrigin_);
    const auto cut = [&](mps::MatrixOperand& operand, uint64_t rows, uint64_t columns,
                         bool transposed) {
        if (transposed) std::swap(rows, columns);
        operands.checkHolds(operand, rows, columns);
        operand = operand.cut(rows, columns);
    };
    cut(left, resultRows_, interiorColumns_, transposeLeft_);
    cut(right, interiorColumns_, resultColumns_, transposeRight_);
    cut(result, resultRows_, resultColumns_, false);
    operands.checkApart(result, left);
    operands.checkApart(result, right);
    mps::checkBatch(operands);

    mps::encodeProduct(operands.encoder(), {left, right, result, transposeLeft_, transposeRight_,
                                            interiorColumns_, alpha_, beta_, operands.batch()});
    mps::MatrixOperands::markRead({&left, &right});
}

MatrixVectorMultiplication::MatrixVectorMultiplication(const MTL::Device& device, bool transpose,
                                                       uint64_t rows, uint64_t columns,
                                                       double alpha, double beta)
    : MatrixBinaryKernel(device), transpose_(transpose), rows_(rows), columns_(columns),
      alpha_(alpha), beta_(beta) {
    checkSizes("MatrixVectorMultiplication", {rows, columns});
}

void MatrixVectorMultiplication::archive(mps::Archive& archive) {
    MatrixBinaryKernel::archive(archive);
    archive("transpose", transpose_);
    archive("rows", rows_);
    archive("columns", columns_);
    archive("alpha", alpha_);
    archive("beta", beta_);
    checkSizes("MatrixVectorMultiplication", {rows_, columns_});
}

void MatrixVectorMultiplication::encode(const MTL::CommandBuffer& commandBuffer,
                                        const Matrix& inputMatrix, const Vector& inputVector,
                                        const Vector& resultVector) {
    mps::MatrixOperands operands(*this, device(), commandBuffer, batchStart(), batchSize());
    auto matrix = operands.take("inputMatrix", inputMatrix, primarySourceMatrixOrigin());
    auto vector = operands.take("inputVector", inputVector, secondarySourceMatrixOrigin());
    auto result = operands.take("resultVector", resultVector, resultMatrixOrigin());
    const uint64_t storedRows = transpose_ ? columns_ : rows_,
                   storedColumns = transpose_ ? rows_ : columns_;
    operands.checkHolds(matrix, storedRows, storedColumns);
    operands.checkHolds(vector, 1, columns_);
    operands.checkHolds(result, 1, rows_);
    operands.checkApart(result, matrix);
    operands.checkApart(result, vector);
    mps::checkBatch(operands);
    matrix = matrix.cut(storedRows, storedColumns);
    vector = vector.cut(1, columns_);
    result = result.cut(1, rows_);

    glsl::MatrixMultiplicationParameters p{};
    p.left = matrix.view;
    p.right = vector.view;
    p.result = result.view;
    p.interior = uint32_t(columns_);
    p.alpha = float(alpha_);
    p.beta = float(beta_);
    p.matrices = uint32_t(operands.batch());
    mps::Encoder& encoder = operands.encoder();
    const uint64_t most = encoder.limits().workGroupCount, down = vk::divideUp(rows_, most);
    const mps::Grid grid = transpose_
                               ? mps::Grid{vk::divideUp(rows_, 64) * 256, 1, p.matrices}
                               : mps::Grid{vk::divideUp(rows_, down) * 128, down, p.matrices};
    encoder.dispatch(
        transpose_ ? "MatrixVectorMultiplicationTransposed" : "MatrixVectorMultiplication", p, grid,
        {{1, matrix.slice}, {2, vector.slice}, {3, result.slice}},
        {mps::constant(1, matrix.typeConstant()), mps::constant(2, vector.typeConstant()),
         mps::constant(3, result.typeConstant())});
    mps::MatrixOperands::markRead({&matrix, &vector});
}

} // namespace mpsvk::MPS
