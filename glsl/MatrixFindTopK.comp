// The largest elements of each row. Every invocation keeps a sorted list of the largest ones that
// it reads; then the row's invocations give away the heads of their lists, the largest one first.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "MatrixFindTopK.h"
#include "matrixRow.glsl"

layout(set = 0, binding = 0) uniform Parameters { MatrixFindTopKParameters p; };
ROW_SOURCE(1, source)
MATRIX_DESTINATION(2, values)
layout(set = 0, binding = 3, std430) writeonly buffer Indices { uint indices[]; };
layout(constant_id = 35) const uint listSize = 16u;

// x orders as the elements do: 1 is NaN, 0 no element. y is the column.
uvec2 list[listSize];

uint orderOf(float value) {
    uint bits = floatBitsToUint(value);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return 1u;
    if ((bits & 0x7fffffffu) == 0u) bits = 0u;
    return (bits & 0x80000000u) != 0u ? ~bits : bits | 0x80000000u;
}

uvec2 larger(uvec2 a, uvec2 b) { return a.x > b.x || (a.x == b.x && a.y < b.y) ? a : b; }
NEIGHBOUR_REDUCE(uvec2, largestOfRow, larger, 256, laneBits)

// Columns come in rising order: an equal element goes behind.
void insert(uvec2 entry) {
    [[unroll]] for (uint k = 0u; k < listSize; ++k) {
        uint i = listSize - 1u - k;
        if (entry.x <= list[i].x) continue;
        if (i + 1u < listSize) list[i + 1u] = list[i];
        list[i] = entry;
    }
}

void main() {
    MatrixRow at = rowOfInvocation(p.source.rows, p.matrices);
    [[unroll]] for (uint i = 0u; i < listSize; ++i) list[i] = uvec2(0u, 0xffffffffu);
    if (at.exists)
        for (uint chunk = 0u; hasChunk(chunk, p.source.columns); ++chunk) {
            vec4 x = source_chunk(p.source, at, chunk);
            uvec4 column = chunkColumns(chunk);
            for (uint i = 0u; i < 4u; ++i) {
                uint order = orderOf(x[i]);
                if (column[i] < p.source.columns && order > list[listSize - 1u].x)
                    insert(uvec2(order, column[i]));
            }
        }
    for (uint rank = 0u; rank < p.number; ++rank) {
        uvec2 best = largestOfRow(list[0]);
        if (list[0].y == best.y) {
            [[unroll]] for (uint i = 0u; i + 1u < listSize; ++i) list[i] = list[i + 1u];
            list[listSize - 1u] = uvec2(0u, 0xffffffffu);
        }
        if (!at.exists || rowLane() != 0u) continue;
        indices[elementIndex(p.indices, at.matrix, at.row, rank)] = best.y + p.indexOffset;
        values_store(p.values, at.matrix, at.row, rank,
                     source_load(p.source, at.matrix, at.row, best.y));
    }
}
