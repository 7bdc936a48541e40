// A copy of a part of a matrix, element by element of 1, 2 or 4 bytes, perhaps transposed or to
// permuted places. "Lines" are what lies together in memory: rows, or columns of a transposed
// operand.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "MatrixCopy.h"
#include "matrix.glsl"
#include "matrixBlocks.glsl"

layout(set = 0, binding = 0) uniform Parameters { MatrixCopyParameters p; };
layout(constant_id = 32) const uint bytes = 4u; // of an element
layout(constant_id = 33) const uint sourceTransposed = 0u;
layout(constant_id = 34) const uint destinationTransposed = 0u;
layout(constant_id = 35) const uint hasOffsets = 0u;
layout(constant_id = 36) const uint permutesRows = 0u;
layout(constant_id = 37) const uint permutesColumns = 0u;
layout(set = 0, binding = 1, std430) readonly buffer Source { uint source[]; };
layout(set = 0, binding = 1, std430) readonly buffer Source2 { uvec2 source2[]; };
layout(set = 0, binding = 1, std430) readonly buffer Source4 { uvec4 source4[]; };
layout(set = 0, binding = 2, std430) buffer Destination { uint destination[]; };
layout(set = 0, binding = 2, std430) buffer Destination2 { uvec2 destination2[]; };
layout(set = 0, binding = 2, std430) buffer Destination4 { uvec4 destination4[]; };
layout(set = 0, binding = 3, std430) readonly buffer Offsets { uint offsets[]; };
layout(set = 0, binding = 4, std430) readonly buffer Rows { uint rowIndices[]; };
layout(set = 0, binding = 5, std430) readonly buffer Columns { uint columnIndices[]; };

const uint perWord = 4u / bytes;
const uint elementMask = 0xffffffffu >> (32u - 8u * bytes);

uint load(uint at) {
    if (bytes == 4u) return source[at];
    return source[at / perWord] >> (at % perWord * 8u * bytes) & elementMask;
}

// Invocations that write other parts of a word do not disturb each other.
void store(uint at, uint value) {
    if (bytes == 4u) {
        destination[at] = value;
        return;
    }
    uint shift = at % perWord * 8u * bytes;
    atomicAnd(destination[at / perWord], ~(elementMask << shift));
    atomicOr(destination[at / perWord], value << shift);
}

// Four elements, of which `count` are there.
uvec4 loadFour(uint at, uint count) {
    if ((at & 3u) == 0u && count >= 4u) {
        if (bytes == 4u) return source4[at / 4u];
        if (bytes == 2u) {
            uvec2 two = source2[at / 4u];
            return uvec4(two.x & 0xffffu, two.x >> 16, two.y & 0xffffu, two.y >> 16);
        }
        return uvec4(source[at / 4u]) >> uvec4(0u, 8u, 16u, 24u) & 0xffu;
    }
    uvec4 values = uvec4(0u);
    for (uint i = 0u; i < 4u; ++i)
        if (i < count) values[i] = load(at + i);
    return values;
}

void storeFour(uint at, uvec4 v) { // at a multiple of four
    if (bytes == 4u) destination4[at / 4u] = v;
    else if (bytes == 2u) destination2[at / 4u] = v.xz | v.yw << 16;
    else destination[at / 4u] = v.x | v.y << 8 | v.z << 16 | v.w << 24;
}

uint leftFrom(uint offset, uint size) { return size - min(offset, size); }

void main() {
    uvec4 offset = uvec4(p.sourceRow, p.sourceColumn, p.destinationRow, p.destinationColumn);
    if (hasOffsets != 0u)
        offset = uvec4(offsets[p.offsetIndex], offsets[p.offsetIndex + 1u],
                       offsets[p.offsetIndex + 2u], offsets[p.offsetIndex + 3u]);
    MatrixBlock at = blockOfInvocation(p.rows, p.columns, p.matrices);
    // As stored: x counts lines, y elements of a line.
    uvec2 first = uvec2(at.row, at.column), from = offset.xy, to = offset.zw;
    uvec2 size = uvec2(p.rows, p.columns);
    uvec2 sourceFirst = sourceTransposed != 0u ? first.yx : first;
    uvec2 sourceSize = sourceTransposed != 0u ? size.yx : size;
    if (sourceTransposed != 0u) from = from.yx;
    sourceSize = min(sourceSize, uvec2(leftFrom(from.x, p.source.rows),
                                       leftFrom(from.y, p.source.columns)));
    if (!at.exists || any(greaterThanEqual(sourceFirst, sourceSize))) return;
    uvec4 block[4];
    for (uint i = 0u; i < 4u; ++i)
        block[i] = sourceFirst.x + i < sourceSize.x
                       ? loadFour(elementIndex(p.source, at.matrix, from.x + sourceFirst.x + i,
                                               from.y + sourceFirst.y),
                                  sourceSize.y - sourceFirst.y)
                       : uvec4(0u);
    uvec2 thereFirst = sourceFirst, thereSize = sourceSize; // lines of the destination
    if (sourceTransposed != destinationTransposed) {
        uvec4 turned[4];
        for (uint i = 0u; i < 4u; ++i)
            for (uint j = 0u; j < 4u; ++j) turned[i][j] = block[j][i];
        block = turned;
        thereFirst = sourceFirst.yx;
        thereSize = sourceSize.yx;
    }
    if (destinationTransposed != 0u) to = to.yx;
    uvec2 room = uvec2(leftFrom(to.x, p.destination.rows), leftFrom(to.y, p.destination.columns));
    bool permutesLines = (destinationTransposed != 0u ? permutesColumns : permutesRows) != 0u;
    bool permutesWithin = (destinationTransposed != 0u ? permutesRows : permutesColumns) != 0u;
    for (uint i = 0u; i < 4u; ++i) {
        uint line = thereFirst.x + i;
        if (line >= thereSize.x) break;
        if (permutesLines)
            line = destinationTransposed != 0u ? columnIndices[p.columnIndex + line]
                                               : rowIndices[p.rowIndex + line];
        if (line >= room.x) continue;
        uint start = elementIndex(p.destination, at.matrix, to.x + line, to.y);
        uint count = min(thereSize.y - thereFirst.y, 4u);
        if (!permutesWithin && count == 4u && thereFirst.y + 4u <= room.y &&
            ((start + thereFirst.y) & 3u) == 0u) {
            storeFour(start + thereFirst.y, block[i]);
            continue;
        }
        for (uint j = 0u; j < count; ++j) {
            uint place = thereFirst.y + j;
            if (permutesWithin)
                place = destinationTransposed != 0u ? rowIndices[p.rowIndex + place]
                                                    : columnIndices[p.columnIndex + place];
            if (place < room.y) store(start + place, block[i][j]);
        }
    }
}
