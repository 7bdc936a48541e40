#include "mps/MatrixPass.hpp"

#include "mps/Names.hpp"
#include "mps/PassChecks.hpp"

#include <mpsvk/Error.hpp>

#include <algorithm>

namespace mpsvk::mps {

namespace {

std::string namesOf(std::span<const MPS::DataType> types) {
    std::string names;
    for (const MPS::DataType type : types) names += (names.empty() ? "" : " or ") + nameOf(type);
    return names;
}

} // namespace

MatrixOperand MatrixOperand::cut(uint64_t rows, uint64_t columns) const {
    MatrixOperand part = *this;
    part.view.rows = uint32_t(std::min<uint64_t>(view.rows, rows));
    part.view.columns = uint32_t(std::min<uint64_t>(view.columns, columns));
    return part;
}

MatrixOperand MatrixOperand::joined(uint64_t batch) const {
    MatrixOperand one = *this;
    one.view.rows = 1;
    one.view.columns = view.rows * view.columns;
    one.view.isAligned = view.offset % 4 == 0 && (batch == 1 || view.matrixStride % 4 == 0);
    return one;
}

MatrixOperand boundOperand(const ArrayView& first, const vk::Limits& limits, uint64_t matrices,
                           uint64_t matrixBytes) {
    const uint64_t element = MPS::bytesPerElement(first.dataType);
    const uint64_t skipped = first.slice.begin() % std::max<uint64_t>(limits.storageAlignment, 16);
    MatrixOperand made;
    made.dataType = first.dataType;
    made.matrices = matrices;
    // Words are the smallest unit that shaders load: the end is rounded up to one, which no buffer
    // lacks, since memory is handed out in larger pieces.
    made.slice = {first.slice.buffer, first.slice.offset - skipped,
                  vk::roundUp(first.slice.size + skipped, 4)};
    made.view.offset = uint32_t(skipped / element);
    made.view.rowStride = uint32_t(first.rowBytes / element);
    made.view.matrixStride = uint32_t(matrixBytes / element);
    made.view.rows = uint32_t(first.rows);
    made.view.columns = uint32_t(first.columns);
    made.view.isAligned = made.view.offset % 4 == 0 && made.view.rowStride % 4 == 0 &&
                          made.view.matrixStride % 4 == 0 && skipped % element == 0;
    return made;
}

namespace {

const MTL::CommandBuffer& checked(const std::string& who, const MTL::Device& kernel,
                                  const MTL::CommandBuffer& commandBuffer) {
    if (!commandBuffer) throw InvalidArgument(who + "The command buffer handle is empty.");
    checkDevice(who, kernel, commandBuffer);
    return commandBuffer;
}

} // namespace

MatrixOperands::MatrixOperands(const Subject& who, const MTL::Device& kernel,
                               const MTL::CommandBuffer& commandBuffer, uint64_t batchStart,
                               uint64_t batchSize)
    : who_(who.text()), encoder_(checked(who_, kernel, commandBuffer), who),
      batchStart_(batchStart), batchSize_(batchSize) {}

MatrixOperand MatrixOperands::placed(const char* role, ArrayStorage& storage,
                                     const ArrayView& first, uint64_t matrices,
                                     uint64_t matrixBytes, const MTL::Origin& origin,
                                     std::span<const MPS::DataType> types, bool forAll) {
    if (std::ranges::find(types, first.dataType) == types.end())
        throw InvalidArgument(who_ + role + " has the dataType " + nameOf(first.dataType) +
                              " but must be " + namesOf(types) + ".");
    if (origin.z != 0 || origin.x >= first.rows || origin.y >= first.columns)
        throw InvalidArgument(who_ + "The origin in " + role + " is row " +
                              std::to_string(origin.x) + ", column " + std::to_string(origin.y) +
                              ", depth " + std::to_string(origin.z) + " but it has " +
                              std::to_string(first.rows) + " rows, " +
                              std::to_string(first.columns) + " columns and no depth.");
    const uint64_t batchStart = forAll ? 0 : batchStart_;
    if (batchStart >= matrices)
        throw InvalidArgument(who_ + "batchStart is " + std::to_string(batchStart_) + " but " +
                              role + " has " + std::to_string(matrices) + " matrices.");
    const uint64_t begin = batchStart * matrixBytes + origin.x * first.rowBytes +
                           origin.y * MPS::bytesPerElement(first.dataType);
    ArrayView used = first;
    used.slice.offset += begin;
    used.slice.size -= begin;
    used.rows -= origin.x;
    used.columns -= origin.y;
    MatrixOperand made =
        boundOperand(used, encoder_.limits(), forAll ? UINT64_MAX : matrices - batchStart,
                     forAll ? 0 : matrixBytes);
    made.role = role;
    made.storage = &storage;
    if (made.slice.size > encoder_.limits().storageBufferRange)
        throw InvalidArgument(who_ + role + " spans " + std::to_string(made.slice.size) +
                              " bytes but the device binds at most " +
                              std::to_string(encoder_.limits().storageBufferRange) + ".");
    batch_ = std::min(batch_, made.matrices);
    return made;
}

MatrixOperand MatrixOperands::take(const char* role, const MPS::Matrix& matrix,
                                   const MTL::Origin& origin,
                                   std::span<const MPS::DataType> types) {
    if (!matrix) throw InvalidArgument(who_ + role + " is empty.");
    auto& impl = matrix.impl();
    impl.checkUsable(who_, role, encoder_.commandBuffer());
    ArrayView all = impl.view(0);
    all.slice = impl.slice();
    return placed(role, impl, all, matrix.matrices(), matrix.matrixBytes(), origin, types, false);
}

MatrixOperand MatrixOperands::take(const char* role, const MPS::Vector& vector,
                                   const MTL::Origin& origin,
                                   std::span<const MPS::DataType> types) {
    return taken(role, vector, origin, types, false);
}

MatrixOperand MatrixOperands::takeForAll(const char* role, const MPS::Vector& vector) {
    return taken(role, vector, {}, floatTypes, vector && vector.vectors() == 1);
}

MatrixOperand MatrixOperands::takeOnly(const char* role, const MPS::Vector& vector,
                                       MPS::DataType type) {
    if (vector && vector.vectors() != 1)
        throw InvalidArgument(who_ + role + " has " + std::to_string(vector.vectors()) +
                              " vectors but must have 1.");
    return taken(role, vector, {}, std::span(&type, 1), true);
}

MatrixOperand MatrixOperands::taken(const char* role, const MPS::Vector& vector,
                                    const MTL::Origin& origin, std::span<const MPS::DataType> types,
                                    bool forAll) {
    if (!vector) throw InvalidArgument(who_ + role + " is empty.");
    auto& impl = vector.impl();
    impl.checkUsable(who_, role, encoder_.commandBuffer());
    ArrayView all = impl.view();
    all.slice = impl.slice();
    all.rows = 1;
    return placed(role, impl, all, vector.vectors(), vector.vectorBytes(), {0, origin.x, origin.z},
                  types, forAll);
}

uint64_t MatrixOperands::batch() const { return std::min(batch_, batchSize_); }

void MatrixOperands::checkHolds(const MatrixOperand& operand, uint64_t rows,
                                uint64_t columns) const {
    if (rows <= operand.rows() && columns <= operand.columns()) return;
    throw InvalidArgument(who_ + operand.role + " has " + std::to_string(operand.rows()) +
                          " rows and " + std::to_string(operand.columns()) +
                          " columns from its origin on but " + std::to_string(rows) + " and " +
                          std::to_string(columns) + " are needed.");
}

uint64_t MatrixOperands::extent(const char* property, uint64_t given, uint64_t available) const {
    if (given == 0) throw InvalidArgument(who_ + property + " is 0 but must be at least 1.");
    return std::min(given, available);
}

void MatrixOperands::checkApart(const MatrixOperand& result, const MatrixOperand& source) const {
    const auto &a = result.slice, &b = source.slice;
    if (a.buffer->handle() != b.buffer->handle()) return;
    const auto begin = [](const MatrixOperand& o) {
        return o.slice.begin() + o.view.offset * MPS::bytesPerElement(o.dataType);
    };
    const auto end = [](const MatrixOperand& o) { return o.slice.begin() + o.slice.size; };
    if (begin(result) < end(source) && begin(source) < end(result))
        throw InvalidArgument(who_ + result.role + " overlaps " + source.role +
                              " in memory; the kernel does not work in place.");
}

void MatrixOperands::checkApartOrSame(const MatrixOperand& result,
                                      const MatrixOperand& source) const {
    const bool same = result.storage == source.storage && result.dataType == source.dataType &&
                      result.slice.begin() == source.slice.begin() &&
                      result.view.offset == source.view.offset;
    if (!same) checkApart(result, source);
}

void MatrixOperands::markRead(std::initializer_list<const MatrixOperand*> sources) {
    markRead(std::span(sources.begin(), sources.size()));
}

void MatrixOperands::markRead(std::span<const MatrixOperand* const> sources) {
    std::vector<ArrayStorage*> all;
    for (const MatrixOperand* source : sources)
        if (source->storage && std::ranges::find(all, source->storage) == all.end())
            all.push_back(source->storage);
    for (ArrayStorage* storage : all) storage->wasRead();
}

} // namespace mpsvk::mps
