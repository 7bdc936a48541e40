#include "mps/IndexSort.hpp"

#include "IndexSort.h"

#include <bit>

namespace mpsvk::mps {

SortedIndices sortIndices(Encoder& encoder, const NDOperand& indices, uint64_t keyCount) {
    glsl::IndexSortParameters p{};
    const uint64_t count = indices.layout.elements();
    p.count = uint32_t(count);
    p.keyCount = uint32_t(keyCount);
    p.blocks = uint32_t(vk::divideUp(count, glsl::sortBlock()));
    p.indexOffset = uint32_t(indices.layout.offset);
    p.indexStride = int32_t(indices.layout.strides[0]);

    const auto words = [&](uint64_t n) { return encoder.scratch(4 * n); };
    const auto table = words(256 * uint64_t(p.blocks)), totals = words(256);
    struct List {
        std::shared_ptr<const vk::BufferSlice> keys, order;
    };
    List from, to;
    vk::BufferSlice keys = indices.slice;
    std::vector<vk::Constant> types = indexConstants(indices.layout.dataType);
    for (; p.shift == 0 || keyCount >> p.shift != 0; p.shift += 8) {
        if (!to.keys) to = {words(count), words(count)};
        const auto bytes = std::as_bytes(std::span(&p, 1));
        const Grid blocks = Grid::of(256 * uint64_t(p.blocks));
        const Operand counted[] = {{1, keys}, {2, *table}};
        encoder.dispatchBytes("IndexSortCount", bytes, blocks, counted, types, {});
        encoder.dispatch("IndexSortScan", p, {256 * 256, 1, 1}, {{1, *table}, {2, *totals}});
        const bool isFirst = !from.keys;
        const Operand placed[] = {{1, keys},     {2, isFirst ? *totals : *from.order},
                                  {3, *table},   {4, *totals},
                                  {5, *to.keys}, {6, *to.order}};
        std::vector<vk::Constant> constants = types;
        constants.push_back(constant(32, uint32_t(isFirst)));
        encoder.dispatchBytes("IndexSortPlace", bytes, blocks, placed, constants, {});
        std::swap(from, to);
        keys = *from.keys;
        types = indexConstants(MPS::DataType::UInt32);
        p.indexOffset = 0;
        p.indexStride = 1;
    }
    SortedIndices made{from.keys, from.order, words(2 * keyCount)};
    encoder.list().fill(*made.ranges, 0);
    encoder.dispatch("IndexSortRanges", p, Grid::of(count), {{1, *made.keys}, {2, *made.ranges}});
    return made;
}

} // namespace mpsvk::mps
