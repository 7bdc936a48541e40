#include "MatrixFindTopK.h"

#include "mps/Archive.hpp"
#include "mps/MatrixRows.hpp"

#include <mpsvk/MPS/MatrixFindTopK.hpp>

#include <bit>

namespace mpsvk::MPS {

static constexpr std::array indexTypes{DataType::UInt32};

void MatrixFindTopK::archive(mps::Archive& archive) {
    MatrixUnaryKernel::archive(archive);
    archive("numberOfTopKValues", numberOfTopKValues_);
    archive("indexOffset", indexOffset_);
    archive("sourceRows", sourceRows_);
    archive("sourceColumns", sourceColumns_);
}

void MatrixFindTopK::encode(const MTL::CommandBuffer& commandBuffer, const Matrix& inputMatrix,
                            const Matrix& resultIndexMatrix, const Matrix& resultValueMatrix) {
    mps::MatrixOperands operands(*this, device(), commandBuffer, batchStart(), batchSize());
    auto source = operands.take("inputMatrix", inputMatrix, sourceMatrixOrigin());
    const auto indices =
        operands.take("resultIndexMatrix", resultIndexMatrix, resultMatrixOrigin(), indexTypes);
    const auto values = operands.take("resultValueMatrix", resultValueMatrix, resultMatrixOrigin());
    const uint64_t rows = operands.extent("sourceRows", sourceRows_, source.rows()),
                   columns = operands.extent("sourceColumns", sourceColumns_, source.columns()),
                   most = std::min(columns, maximumNumberOfTopKValues);
    if (numberOfTopKValues_ == 0 || numberOfTopKValues_ > most)
        throw InvalidArgument(subject() + "numberOfTopKValues is " +
                              std::to_string(numberOfTopKValues_) + " but must be from 1 to " +
                              std::to_string(most) + ", with " + std::to_string(columns) +
                              " columns.");
    if (indexOffset_ > UINT32_MAX - (columns - 1))
        throw InvalidArgument(subject() + "indexOffset is " + std::to_string(indexOffset_) +
                              ", with which the index of column " + std::to_string(columns - 1) +
                              " is beyond 32 bits.");
    operands.checkHolds(indices, rows, numberOfTopKValues_);
    operands.checkHolds(values, rows, numberOfTopKValues_);
    operands.checkApart(indices, source);
    operands.checkApart(values, source);
    operands.checkApart(indices, values);
    source = source.cut(rows, columns);

    mps::MatrixRows plan(operands.encoder(), operands.batch(), {&source});
    plan.constants.push_back(mps::constant(2, values.typeConstant()));
    plan.constants.push_back(mps::constant(35, uint32_t(std::bit_ceil(numberOfTopKValues_))));
    glsl::MatrixFindTopKParameters p{};
    p.source = source.view;
    p.values = values.view;
    p.indices = indices.view;
    p.matrices = uint32_t(operands.batch());
    p.number = uint32_t(numberOfTopKValues_);
    p.indexOffset = uint32_t(indexOffset_);
    const mps::Operand bindings[] = {{1, source.slice}, {2, values.slice}, {3, indices.slice}};
    operands.encoder().dispatchBytes("MatrixFindTopK", std::as_bytes(std::span(&p, 1)), plan.grid,
                                     bindings, plan.constants, {});
    mps::MatrixOperands::markRead({&source});
}

} // namespace mpsvk::MPS
