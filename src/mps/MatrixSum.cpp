#include "MatrixSum.h"

#include "mps/Archive.hpp"
#include "mps/MatrixNeuron.hpp"
#include "mps/MatrixPass.hpp"

#include <mpsvk/MPS/MatrixSum.hpp>

namespace mpsvk::MPS {

namespace {

void checkSizes(std::initializer_list<uint64_t> sizes) {
    for (uint64_t size : sizes)
        if (size == 0)
            throw InvalidArgument("[MatrixSum] A size is 0 but each must be at least 1.");
}

} // namespace

MatrixSum::MatrixSum(const MTL::Device& device, uint64_t count, uint64_t rows, uint64_t columns,
                     bool transpose)
    : Kernel(device), count_(count), rows_(rows), columns_(columns), transpose_(transpose) {
    checkSizes({count, rows, columns});
}

void MatrixSum::archive(mps::Archive& archive) {
    Kernel::archive(archive);
    archive("count", count_);
    archive("rows", rows_);
    archive("columns", columns_);
    archive("transpose", transpose_);
    archive("resultMatrixOrigin", resultMatrixOrigin_);
    archive("neuron", neuron_);
    checkSizes({count_, rows_, columns_});
}

void MatrixSum::encode(const MTL::CommandBuffer& commandBuffer,
                       const std::vector<Matrix>& sourceMatrices, const Matrix& resultMatrix,
                       const Vector& scaleVector, const Vector& offsetVector,
                       const Vector& biasVector, uint64_t startIndex) {
    mps::MatrixOperands operands(*this, device(), commandBuffer);
    mps::checkNeuron(subject(), neuron_);
    if (sourceMatrices.size() != count_)
        throw InvalidArgument(subject() + "There are " + std::to_string(sourceMatrices.size()) +
                              " sourceMatrices but count is " + std::to_string(count_) + ".");
    if (startIndex > UINT32_MAX - count_)
        throw InvalidArgument(subject() + "startIndex is " + std::to_string(startIndex) +
                              " but no vector is that long.");
    auto result = operands.take("resultMatrix", resultMatrix, resultMatrixOrigin_);
    const uint64_t resultRows = transpose_ ? columns_ : rows_,
                   resultColumns = transpose_ ? rows_ : columns_;
    operands.checkHolds(result, resultRows, resultColumns);
    result = result.cut(resultRows, resultColumns);
    std::vector<mps::MatrixOperand> sources;
    for (const Matrix& source : sourceMatrices) {
        sources.push_back(operands.take("One of sourceMatrices", source, {}));
        if (!offsetVector) operands.checkHolds(sources.back(), rows_, columns_);
        operands.checkApart(result, sources.back());
    }
    mps::MatrixOperand scale, offsets, bias;
    if (scaleVector) {
        scale = operands.takeOnly("scaleVector", scaleVector, DataType::Float32);
        operands.checkHolds(scale, 1, startIndex + count_);
        operands.checkApart(result, scale);
    }
    if (offsetVector) {
        offsets = operands.takeOnly("offsetVector", offsetVector, DataType::UInt32);
        operands.checkHolds(offsets, 1, 2 * (startIndex + count_));
        operands.checkApart(result, offsets);
    }
    if (biasVector) {
        bias = operands.takeForAll("biasVector", biasVector);
        operands.checkHolds(bias, 1, resultColumns);
        operands.checkApart(result, bias);
        bias = bias.cut(1, resultColumns);
    }

    mps::Encoder& encoder = operands.encoder();
    glsl::MatrixSumParameters p{};
    p.result = result.view;
    p.bias = bias.view;
    p.rows = uint32_t(rows_);
    p.columns = uint32_t(columns_);
    p.matrices = uint32_t(operands.batch());
    mps::setNeuron(p, neuron_);
    std::shared_ptr<const vk::BufferSlice> sums;
    if (count_ > glsl::matrixSumSources) {
        p.sums.rows = p.rows;
        p.sums.columns = p.columns;
        p.sums.rowStride = uint32_t(vk::roundUp(columns_, 4));
        p.sums.matrixStride = p.rows * p.sums.rowStride;
        p.sums.isAligned = 1;
        sums = encoder.scratch(uint64_t(p.matrices) * p.sums.matrixStride * sizeof(float));
    }
    const uint64_t tiles = vk::roundUp(rows_, 32) / 32 * (vk::roundUp(columns_, 32) / 32);
    for (uint64_t first = 0; first < count_; first += glsl::matrixSumSources) {
        p.count = uint32_t(std::min<uint64_t>(count_ - first, glsl::matrixSumSources));
        p.scaleIndex = scale.view.offset + uint32_t(startIndex + first);
        p.offsetIndex = offsets.view.offset + 2 * uint32_t(startIndex + first);
        std::vector<vk::Constant> constants;
        std::vector<mps::Operand> bindings{{9, result.slice},
                                           {10, bias.slice},
                                           {11, sums ? *sums : vk::BufferSlice{}},
                                           {12, scale.slice},
                                           {13, offsets.slice}};
        for (uint32_t k = 0; k < p.count; ++k) {
            const mps::MatrixOperand& source = sources[first + k];
            p.sources[k] = source.view;
            bindings.emplace_back(1 + k, source.slice);
            constants.push_back(mps::constant(1 + k, source.typeConstant()));
        }
        const bool isLast = first + p.count == count_;
        for (const auto& [id, value] :
             std::initializer_list<std::pair<uint32_t, uint32_t>>{{9, result.typeConstant()},
                                                                  {10, bias.typeConstant()},
                                                                  {32, uint32_t(neuronType())},
                                                                  {33, bool(bias.storage)},
                                                                  {34, transpose_},
                                                                  {35, first == 0},
                                                                  {36, isLast},
                                                                  {37, bool(scale.storage)},
                                                                  {38, bool(offsets.storage)}})
            constants.push_back(mps::constant(id, value));
        encoder.dispatchBytes("MatrixSum", std::as_bytes(std::span(&p, 1)),
                              mps::Grid::of(tiles * p.matrices * 256), bindings, constants, {});
    }
    std::vector<const mps::MatrixOperand*> read{&scale, &offsets, &bias};
    for (const mps::MatrixOperand& source : sources) read.push_back(&source);
    mps::MatrixOperands::markRead(read);
}

} // namespace mpsvk::MPS
