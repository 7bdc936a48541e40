#include "mps/NDArrayCopy.hpp"

#include <mpsvk/Error.hpp>

#include <algorithm>

namespace mpsvk::mps {

NDOperand::NDOperand(Encoder& encoder, const std::string& who, const char* role,
                     const vk::BufferSlice& memory, const NDLayout& given)
    : layout(given) {
    const int64_t element = int64_t(given.elementBytes());
    const uint64_t alignment = std::max<uint64_t>(encoder.limits().storageAlignment, 16);
    const uint64_t begin = uint64_t(given.lowest() * element);
    const uint64_t skipped = (memory.begin() + begin) % alignment;
    // Words are the smallest unit that shaders load: the end is rounded up to one, which no buffer
    // lacks, since memory is handed out in larger pieces.
    slice = {memory.buffer, memory.offset + begin - skipped,
             vk::roundUp(uint64_t(given.highest() * element) - begin + skipped, 4)};
    if (slice.size > encoder.limits().storageBufferRange)
        throw InvalidArgument(who + role + " spans " + std::to_string(slice.size) +
                              " bytes but the device binds at most " +
                              std::to_string(encoder.limits().storageBufferRange) + ".");
    layout.offset = given.offset - given.lowest() + int64_t(skipped) / element;
    firstByte = memory.begin() + begin;
    endByte = memory.begin() + uint64_t(given.highest() * element);
}

void checkApart(const std::string& who, const char* resultRole, const NDOperand& result,
                const char* sourceRole, const NDOperand& source) {
    if (result.slice.buffer->handle() != source.slice.buffer->handle()) return;
    if (result.firstByte < source.endByte && source.firstByte < result.endByte)
        throw InvalidArgument(who + resultRole + " overlaps " + sourceRole +
                              " in memory; that does not work in place.");
}

NDOperand::NDOperand(Encoder& encoder, const std::string& who, const char* role,
                     const MPS::NDArray& array)
    : NDOperand(encoder, who, role, array.impl().storage->slice(), array.impl().layout) {}

bool areApart(const NDLayout& layout) {
    std::vector<std::pair<int64_t, uint64_t>> all; // stride and length
    for (uint64_t i = 0; i < layout.count; ++i)
        if (layout.lengths[i] > 1) all.emplace_back(layout.strides[i], layout.lengths[i]);
    std::ranges::sort(all);
    int64_t reach = 0; // of the dimensions with smaller strides
    return std::ranges::all_of(all, [&](const auto& dimension) {
        const bool isBeyond = dimension.first > reach;
        reach += dimension.first * int64_t(dimension.second - 1);
        return isBeyond;
    });
}

std::vector<vk::Constant> indexConstants(MPS::DataType type) {
    const bool isSigned = type == MPS::DataType::Int8 || type == MPS::DataType::Int16;
    return {constant(40, uint32_t(MPS::bytesPerElement(type))), constant(41, uint32_t(isSigned))};
}

namespace {

struct Dimension {
    uint64_t length;
    int64_t source, destination;
    uint64_t step;
    bool isLookedUp;
};

/// The destination's fastest dimension first; those that can be walked as one made one.
std::vector<Dimension> dimensionsOf(const NDCopy& copy) {
    const NDLayout &from = copy.source->layout, &to = copy.destination->layout;
    std::vector<Dimension> all;
    for (uint64_t i = 0; i < to.count; ++i) {
        const bool isLookedUp = copy.lookup && copy.lookup->dimension == i;
        if (to.lengths[i] > 1 || isLookedUp)
            all.push_back({to.lengths[i], from.strides[i], to.strides[i],
                           std::max<uint64_t>(copy.steps[i], 1), isLookedUp});
    }
    std::ranges::stable_sort(all, {}, [](const Dimension& d) {
        return d.destination < 0 ? -d.destination : d.destination;
    });
    std::vector<Dimension> merged;
    for (const Dimension& d : all) {
        const auto continues = [&](const Dimension& last) {
            return last.step == 1 && d.step == 1 && !last.isLookedUp && !d.isLookedUp &&
                   d.source == last.source * int64_t(last.length) &&
                   d.destination == last.destination * int64_t(last.length);
        };
        if (!merged.empty() && continues(merged.back()))
            merged.back().length *= d.length;
        else
            merged.push_back(d);
    }
    if (merged.empty()) merged.push_back({1, 1, 1, 1, false});
    return merged;
}

/// True when all of them are multiples of `of` bytes from the binding's start on.
bool isAligned(const std::vector<Dimension>& all, int64_t Dimension::*stride, int64_t offset,
               uint64_t element, uint64_t of) {
    if (uint64_t(offset) * element % of != 0) return false;
    return std::all_of(all.begin() + 1, all.end(), [&](const Dimension& d) {
        return uint64_t(std::abs(d.*stride)) * element % of == 0;
    });
}

} // namespace

void copyElements(Encoder& encoder, const NDCopy& copy) {
    const NDLayout &from = copy.source->layout, &to = copy.destination->layout;
    const uint64_t fromBytes = from.elementBytes(), toBytes = to.elementBytes();
    std::vector<Dimension> all = dimensionsOf(copy);
    const Dimension row = all.front();
    const auto aligned = [&](uint64_t of) {
        return isAligned(all, &Dimension::source, from.offset, fromBytes, of) &&
               isAligned(all, &Dimension::destination, to.offset, toBytes, of);
    };
    uint32_t unit = 0, lanes = 1;
    if (fromBytes == toBytes && from.dataType == to.dataType && !row.isLookedUp && row.step == 1 &&
        (row.length == 1 || (row.source == 1 && row.destination == 1)))
        unit = aligned(16) ? 16 : aligned(4) ? 4 : 0;
    if (unit == 0 && toBytes < 4 && row.destination == 1 &&
        isAligned(all, &Dimension::destination, to.offset, toBytes, 4))
        lanes = uint32_t(4 / toBytes);

    // Rows of the source along another dimension of the destination: tiles, where they are large
    // enough to be worth it.
    const auto across = std::ranges::find_if(
        all, [](const Dimension& d) { return std::abs(d.source) == 1 && d.length >= 8; });
    const bool isTransposed = across != all.begin() && across != all.end() && unit == 0 &&
                              !copy.lookup && row.destination == 1 && row.length >= 8 &&
                              toBytes <= 4 && fromBytes <= 4 && toBytes * lanes == 4 &&
                              std::ranges::all_of(all, [](auto& d) { return d.step == 1; });
    if (isTransposed) std::rotate(all.begin() + 1, across, across + 1);

    glsl::NDArrayCopyParameters p{};
    // In units: of words, or of elements.
    const auto inUnits = [&](int64_t elements, uint64_t bytes) {
        return unit == 0 ? int32_t(elements) : int32_t(elements * int64_t(bytes) / 4);
    };
    p.dimensionCount = uint32_t(all.size());
    p.sourceOffset = uint32_t(inUnits(from.offset, fromBytes));
    p.destinationOffset = uint32_t(inUnits(to.offset, toBytes));
    uint64_t total = 1;
    for (size_t i = 0; i < all.size(); ++i) {
        p.dimensions[i] = {uint32_t(all[i].length), inUnits(all[i].source, fromBytes),
                           inUnits(all[i].destination, toBytes), uint32_t(all[i].step)};
        if (all[i].isLookedUp) p.gathered = uint32_t(i);
        if (i > 0) total *= all[i].length;
    }
    p.rowBytes = uint32_t(row.length * toBytes);
    total *= unit != 0 ? vk::divideUp(p.rowBytes, unit) : vk::divideUp(row.length, lanes);
    p.total = uint32_t(total);
    const uint32_t converts = from.dataType == to.dataType            ? 0
                              : to.dataType == MPS::DataType::Float16 ? 1
                                                                      : 2;
    std::vector<vk::Constant> constants = {constant(32, unit), constant(33, lanes),
                                           constant(34, uint32_t(fromBytes)),
                                           constant(35, uint32_t(toBytes)), constant(36, converts)};
    std::vector<Operand> operands = {Operand(1, copy.source->slice),
                                     Operand(2, copy.destination->slice)};
    if (copy.lookup) {
        const NDOperand& indices = *copy.lookup->indices;
        p.gatherLength = uint32_t(copy.lookup->length);
        p.indexOffset = uint32_t(indices.layout.offset);
        p.indexStride = int32_t(indices.layout.strides[0]);
        operands.emplace_back(3, indices.slice);
        const auto more = indexConstants(indices.layout.dataType);
        constants.insert(constants.end(), more.begin(), more.end());
    }
    const char* shader = copy.lookup ? "NDArrayGather" : "NDArrayCopy";
    if (isTransposed) {
        shader = "NDArrayTranspose";
        const uint64_t width = 32 * lanes, height = lanes == 4 ? 16 : 32;
        p.tilesAcross = uint32_t(vk::divideUp(row.length, width));
        p.tilesDown = uint32_t(vk::divideUp(all[1].length, height));
        total = uint64_t(p.tilesAcross) * p.tilesDown * 256;
        for (size_t i = 2; i < all.size(); ++i) total *= all[i].length;
    }
    encoder.dispatchBytes(shader, std::as_bytes(std::span(&p, 1)), Grid::of(total), operands,
                          constants, {});
}

void copyElements(Encoder& encoder, const NDOperand& source, const NDOperand& destination) {
    copyElements(encoder, NDCopy{&source, &destination, {}, {}});
}

void checkConvertible(const std::string& who, const char* what, MPS::DataType from,
                      MPS::DataType to) {
    const auto isFloat = [](MPS::DataType type) {
        return type == MPS::DataType::Float32 || type == MPS::DataType::Float16;
    };
    if (from == to || (isFloat(from) && isFloat(to))) return;
    throw InvalidArgument(who + what + " from the dataType " + std::to_string(uint32_t(from)) +
                          " to " + std::to_string(uint32_t(to)) +
                          " was asked for but only Float32 and Float16 are converted into each "
                          "other.");
}

} // namespace mpsvk::mps
