// Workgroups of 256 whose invocations share the rows of matrices: 2^laneBits neighbours have a row.
// An invocation's part of a row are chunks of four elements; `kept` of them,
// as many as it holds in registers at a time, are a block.
//
//   ROW_SOURCE(1, source)       vec4 source_chunk(MatrixView v, MatrixRow at, uint chunk)
//                               void source_block(MatrixView v, MatrixRow at, uint block, inout vec4[kept])
//   ROW_DESTINATION(2, result)  void result_setChunk(MatrixView v, MatrixRow at, uint chunk, vec4)
//                               void result_setBlock(MatrixView v, MatrixRow at, uint block, vec4[kept])
#ifndef MPSVK_MATRIXROW_GLSL
#define MPSVK_MATRIXROW_GLSL

layout(local_size_x = 256) in;
#include "exponential.glsl"
#include "grid.glsl"
#include "matrix.glsl"
#include "neighbourReduce.glsl"

layout(constant_id = 32) const uint laneBits = 6u;
layout(constant_id = 33) const uint kept = 4u;
layout(constant_id = 34) const uint chunkOrder = 1u;

const uint chunksWhole = 0u;  // consecutive elements, all there and aligned
const uint chunksCut = 1u;    // consecutive elements
const uint chunksSpread = 2u; // elements 2^laneBits apart: neighbours read neighbouring ones
const uint chunksPaired = 3u; // whole, of halves, two neighbours at a multiple of 16 bytes

const uint rowLanes = 1u << laneBits;

struct MatrixRow {
    uint matrix, row;
    bool exists;
};

uint rowLane() { return gl_LocalInvocationIndex & (rowLanes - 1u); }

MatrixRow rowOfInvocation(uint rows, uint matrices) {
    uint index = gridIndex() >> laneBits;
    return MatrixRow(index / rows, index % rows, index < rows * matrices);
}

uvec4 chunkColumns(uint chunk) {
    if (chunkOrder == chunksSpread)
        return (((4u * chunk + uvec4(0u, 1u, 2u, 3u)) << laneBits) | rowLane());
    uint place = chunkOrder == chunksPaired
        ? 2u * ((chunk >> 1 << laneBits) | rowLane()) + (chunk & 1u)
        : (chunk << laneBits) | rowLane();
    return 4u * place + uvec4(0u, 1u, 2u, 3u);
}
bool isWholeOrder() { return chunkOrder == chunksWhole || chunkOrder == chunksPaired; }
bool hasChunk(uint chunk, uint columns) { return chunkColumns(chunk).x < columns; }
bvec4 isInRow(uint chunk, uint columns) {
    if (isWholeOrder()) return bvec4(true);
    return lessThan(chunkColumns(chunk), uvec4(columns));
}

#define ROW_SOURCE(B, N)                                                                           \
    MATRIX_SOURCE(B, N)                                                                            \
    vec4 N##_chunk(MatrixView v, MatrixRow at, uint chunk) {                                       \
        uvec4 column = chunkColumns(chunk);                                                        \
        if (isWholeOrder()) return N##_loadAligned(v, at.matrix, at.row, column.x);                \
        if (chunkOrder == chunksCut) return N##_load4(v, at.matrix, at.row, column.x);             \
        vec4 values = vec4(0.0);                                                                   \
        [[unroll]] for (uint i = 0u; i < 4u; ++i)                                                  \
            if (column[i] < v.columns) values[i] = N##_load(v, at.matrix, at.row, column[i]);      \
        return values;                                                                             \
    }                                                                                              \
    void N##_block(MatrixView v, MatrixRow at, uint block, inout vec4 values[kept]) {              \
        [[unroll]] for (uint i = 0u; i < kept; ++i) {                                              \
            uint chunk = block * kept + i;                                                         \
            if (!hasChunk(chunk, v.columns)) continue;                                             \
            if (chunkOrder != chunksPaired) {                                                      \
                values[i] = N##_chunk(v, at, chunk);                                               \
            } else if (i % 2u == 0u) {                                                             \
                uint first = elementIndex(v, at.matrix, at.row, chunkColumns(chunk).x);            \
                uvec4 halves = N##_half8[first >> 3];                                              \
                values[i] = vec4(unpackHalf2x16(halves.x), unpackHalf2x16(halves.y));              \
                values[min(i + 1u, kept - 1u)] = vec4(unpackHalf2x16(halves.z), unpackHalf2x16(halves.w));         \
            }                                                                                      \
        }                                                                                          \
    }

#define ROW_DESTINATION(B, N)                                                                      \
    MATRIX_DESTINATION(B, N)                                                                       \
    void N##_setChunk(MatrixView v, MatrixRow at, uint chunk, vec4 values) {                       \
        uvec4 column = chunkColumns(chunk);                                                        \
        if (isWholeOrder()) {                                                                      \
            N##_storeAligned(v, at.matrix, at.row, column.x, values);                              \
        } else if (chunkOrder == chunksCut) {                                                      \
            N##_store4(v, at.matrix, at.row, column.x, values);                                    \
        } else {                                                                                   \
            [[unroll]] for (uint i = 0u; i < 4u; ++i)                                              \
                if (column[i] < v.columns)                                                         \
                    N##_store(v, at.matrix, at.row, column[i], values[i]);                         \
        }                                                                                          \
    }                                                                                              \
    void N##_setBlock(MatrixView v, MatrixRow at, uint block, vec4 values[kept]) {                 \
        [[unroll]] for (uint i = 0u; i < kept; ++i) {                                              \
            uint chunk = block * kept + i;                                                         \
            if (!hasChunk(chunk, v.columns)) continue;                                             \
            if (chunkOrder != chunksPaired) {                                                      \
                N##_setChunk(v, at, chunk, values[i]);                                             \
            } else if (i % 2u == 0u) {                                                             \
                vec4 a = values[i], b = values[min(i + 1u, kept - 1u)];                                            \
                uint first = elementIndex(v, at.matrix, at.row, chunkColumns(chunk).x);            \
                N##_half8[first >> 3] = uvec4(packHalf2x16(a.xy), packHalf2x16(a.zw),              \
                                              packHalf2x16(b.xy), packHalf2x16(b.zw));             \
            }                                                                                      \
        }                                                                                          \
    }

// Where all are halves, what is less than the smallest normal number does not show.
vec4 rowExponential(vec4 x) { return chunkOrder == chunksPaired ? exp(x) : exponential(x); }

float lanesSum(vec4 v) { return ((v.x + v.y) + v.z) + v.w; }
float lanesMax(vec4 v) { return max(max(v.x, v.y), max(v.z, v.w)); }

NEIGHBOUR_REDUCE(float, overRowSum, plus, 256, laneBits)
NEIGHBOUR_REDUCE(float, overRowMax, max, 256, laneBits)

#endif
