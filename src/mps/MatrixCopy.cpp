#include "MatrixCopy.h"

#include "mps/Archive.hpp"
#include "mps/MatrixPass.hpp"
#include "mps/Names.hpp"

#include <mpsvk/MPS/MatrixCopy.hpp>

namespace mpsvk::MPS {

namespace {

/// All of 1, 2 or 4 bytes.
constexpr std::array elementTypes{
    DataType::Float32, DataType::Float16, DataType::BFloat16, DataType::Int8,   DataType::Int16,
    DataType::Int32,   DataType::UInt8,   DataType::UInt16,   DataType::UInt32, DataType::Unorm8};

void checkSizes(uint64_t rows, uint64_t columns) {
    if (rows == 0 || columns == 0)
        throw InvalidArgument("[MatrixCopy] A copy of " + std::to_string(rows) + " rows and " +
                              std::to_string(columns) +
                              " columns was asked for but each must be "
                              "at least 1.");
}

/// From the offset on, of a matrix that may be read as its transpose.
void checkRoom(const std::string& who, const char* role, const mps::MatrixOperand& matrix,
               bool transposed, uint64_t row, uint64_t column, uint64_t rows, uint64_t columns) {
    const uint64_t hasRows = transposed ? matrix.columns() : matrix.rows(),
                   hasColumns = transposed ? matrix.rows() : matrix.columns();
    const bool fits = row <= hasRows && rows <= hasRows - row && column <= hasColumns &&
                      columns <= hasColumns - column;
    if (!fits)
        throw InvalidArgument(who + role + (transposed ? ", transposed," : "") + " has " +
                              std::to_string(hasRows) + " rows and " + std::to_string(hasColumns) +
                              " columns but " + std::to_string(row + rows) + " and " +
                              std::to_string(column + columns) + " are needed.");
}

} // namespace

MatrixCopyDescriptor::MatrixCopyDescriptor(const Matrix& sourceMatrix,
                                           const Matrix& destinationMatrix,
                                           const MatrixCopyOffsets& offsets)
    : copies_{{sourceMatrix, destinationMatrix, offsets}} {}

MatrixCopyDescriptor::MatrixCopyDescriptor(const MTL::Device& device, uint64_t count)
    : copies_(count) {
    device.impl();
    if (count == 0)
        throw InvalidArgument("[MatrixCopyDescriptor] count is 0 but must be at least 1.");
}

MatrixCopyDescriptor::MatrixCopyDescriptor(const std::vector<Matrix>& sourceMatrices,
                                           const std::vector<Matrix>& destinationMatrices,
                                           const Vector& offsetVector, uint64_t offset)
    : offsetVector_(offsetVector), offset_(offset) {
    const std::string who = "[MatrixCopyDescriptor] ";
    if (sourceMatrices.empty() || sourceMatrices.size() != destinationMatrices.size())
        throw InvalidArgument(who + "There are " + std::to_string(sourceMatrices.size()) +
                              " sourceMatrices and " + std::to_string(destinationMatrices.size()) +
                              " destinationMatrices but there must be as many of both, at least "
                              "1.");
    if (!offsetVector) throw InvalidArgument(who + "offsetVector is empty.");
    if (offset % 16 != 0)
        throw InvalidArgument(who + "offset is " + std::to_string(offset) +
                              " but must be a multiple of 16.");
    for (size_t i = 0; i < sourceMatrices.size(); ++i)
        copies_.push_back({sourceMatrices[i], destinationMatrices[i], {}});
}

void MatrixCopyDescriptor::setCopyOperation(uint64_t index, const Matrix& sourceMatrix,
                                            const Matrix& destinationMatrix,
                                            const MatrixCopyOffsets& offsets) {
    if (index >= count())
        throw InvalidArgument("[MatrixCopyDescriptor] index is " + std::to_string(index) +
                              " but there are " + std::to_string(count()) + " copies.");
    if (offsetVector_)
        throw InvalidArgument("[MatrixCopyDescriptor] A copy was set but the offsets lie in an "
                              "offsetVector.");
    copies_[index] = {sourceMatrix, destinationMatrix, offsets};
}

MatrixCopy::MatrixCopy(const MTL::Device& device, uint64_t copyRows, uint64_t copyColumns,
                       bool sourcesAreTransposed, bool destinationsAreTransposed)
    : Kernel(device), copyRows_(copyRows), copyColumns_(copyColumns),
      sourcesAreTransposed_(sourcesAreTransposed),
      destinationsAreTransposed_(destinationsAreTransposed) {
    checkSizes(copyRows, copyColumns);
}

void MatrixCopy::archive(mps::Archive& archive) {
    Kernel::archive(archive);
    archive("copyRows", copyRows_);
    archive("copyColumns", copyColumns_);
    archive("sourcesAreTransposed", sourcesAreTransposed_);
    archive("destinationsAreTransposed", destinationsAreTransposed_);
    checkSizes(copyRows_, copyColumns_);
}

void MatrixCopy::encode(const MTL::CommandBuffer& commandBuffer,
                        const MatrixCopyDescriptor& copyDescriptor) {
    encode(commandBuffer, copyDescriptor, Vector(), 0, Vector(), 0);
}

void MatrixCopy::encode(const MTL::CommandBuffer& commandBuffer,
                        const MatrixCopyDescriptor& copyDescriptor, const Vector& rowPermuteIndices,
                        uint64_t rowPermuteOffset, const Vector& columnPermuteIndices,
                        uint64_t columnPermuteOffset) {
    const std::string who = subject();
    const auto& copies = copyDescriptor.copies_;
    mps::MatrixOperands vectors(*this, device(), commandBuffer);
    mps::MatrixOperand offsets, rowIndices, columnIndices;
    const auto takeWords = [&](const char* role, const Vector& vector, uint64_t first,
                               uint64_t count) {
        const auto taken = vectors.takeOnly(role, vector, DataType::UInt32);
        if (first > taken.columns() || count > taken.columns() - first)
            throw InvalidArgument(who + role + " has " + std::to_string(taken.columns()) +
                                  " elements but " + std::to_string(count) + " from element " +
                                  std::to_string(first) + " on are needed.");
        return taken;
    };
    if (copyDescriptor.offsetVector_)
        offsets = takeWords("offsetVector", copyDescriptor.offsetVector_,
                            copyDescriptor.offset_ / sizeof(uint32_t), 4 * copies.size());
    if (rowPermuteIndices)
        rowIndices = takeWords("rowPermuteIndices", rowPermuteIndices, rowPermuteOffset, copyRows_);
    if (columnPermuteIndices)
        columnIndices = takeWords("columnPermuteIndices", columnPermuteIndices, columnPermuteOffset,
                                  copyColumns_);

    struct Pair {
        mps::MatrixOperand source, destination;
        uint64_t matrices;
    };
    std::vector<Pair> pairs;
    for (size_t i = 0; i < copies.size(); ++i) {
        const auto& copy = copies[i];
        if (!copy.source || !copy.destination)
            throw InvalidArgument(who + "Copy " + std::to_string(i) +
                                  " of the descriptor has no matrices.");
        mps::MatrixOperands operands(who, device(), commandBuffer);
        Pair pair{operands.take("sourceMatrix", copy.source, {}, elementTypes),
                  operands.take("destinationMatrix", copy.destination, {}, elementTypes),
                  operands.batch()};
        if (pair.source.dataType != pair.destination.dataType)
            throw InvalidArgument(who + "sourceMatrix has the dataType " +
                                  mps::nameOf(pair.source.dataType) + " but destinationMatrix " +
                                  mps::nameOf(pair.destination.dataType) + ".");
        const MatrixCopyOffsets& o = copy.offsets;
        if (!offsets.storage) {
            checkRoom(who, "sourceMatrix", pair.source, sourcesAreTransposed_, o.sourceRowOffset,
                      o.sourceColumnOffset, copyRows_, copyColumns_);
            // Where indices place rows or columns, only the device sees.
            checkRoom(who, "destinationMatrix", pair.destination, destinationsAreTransposed_,
                      o.destinationRowOffset, o.destinationColumnOffset,
                      rowIndices.storage ? 0 : copyRows_, columnIndices.storage ? 0 : copyColumns_);
        }
        pairs.push_back(pair);
    }
    for (const Pair& a : pairs) {
        for (const Pair& b : pairs) vectors.checkApart(a.destination, b.source);
        for (const mps::MatrixOperand* vector : {&offsets, &rowIndices, &columnIndices})
            if (vector->storage) vectors.checkApart(a.destination, *vector);
    }

    std::vector<const mps::MatrixOperand*> read{&offsets, &rowIndices, &columnIndices};
    for (size_t i = 0; i < pairs.size(); ++i) {
        const auto& [source, destination, matrices] = pairs[i];
        const MatrixCopyOffsets& o = copies[i].offsets;
        glsl::MatrixCopyParameters p{};
        p.source = source.view;
        p.destination = destination.view;
        // What a source has, wherever the copy begins.
        p.rows = uint32_t(std::min<uint64_t>(copyRows_, sourcesAreTransposed_ ? source.columns()
                                                                              : source.rows()));
        p.columns = uint32_t(std::min<uint64_t>(
            copyColumns_, sourcesAreTransposed_ ? source.rows() : source.columns()));
        const uint64_t tiles = vk::roundUp(p.rows, 32) / 32 * (vk::roundUp(p.columns, 32) / 32);
        p.matrices = uint32_t(matrices);
        p.sourceRow = o.sourceRowOffset;
        p.sourceColumn = o.sourceColumnOffset;
        p.destinationRow = o.destinationRowOffset;
        p.destinationColumn = o.destinationColumnOffset;
        p.offsetIndex = uint32_t(offsets.view.offset + copyDescriptor.offset_ / 4 + 4 * i);
        p.rowIndex = uint32_t(rowIndices.view.offset + rowPermuteOffset);
        p.columnIndex = uint32_t(columnIndices.view.offset + columnPermuteOffset);
        vectors.encoder().dispatch("MatrixCopy", p, mps::Grid::of(tiles * matrices * 64),
                                   {{1, source.slice},
                                    {2, destination.slice},
                                    {3, offsets.slice},
                                    {4, rowIndices.slice},
                                    {5, columnIndices.slice}},
                                   {mps::constant(32, uint32_t(bytesPerElement(source.dataType))),
                                    mps::constant(33, uint32_t(sourcesAreTransposed_)),
                                    mps::constant(34, uint32_t(destinationsAreTransposed_)),
                                    mps::constant(35, uint32_t(bool(offsets.storage))),
                                    mps::constant(36, uint32_t(bool(rowIndices.storage))),
                                    mps::constant(37, uint32_t(bool(columnIndices.storage)))});
        read.push_back(&source);
    }
    mps::MatrixOperands::markRead(read);
}

} // namespace mpsvk::MPS
