// Products of matrices through tiles in shared memory. A workgroup of 16 x 16 invocations computes
// 16 * side by 16 * side elements, each invocation side by side.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "matrixProduct.glsl"

layout(local_size_x = 256) in;
MATRIX_SOURCE(2, right)
layout(constant_id = 32) const uint transposeLeft = 0u;
layout(constant_id = 33) const uint transposeRight = 0u;
layout(constant_id = 34) const uint side = 8u; // of an invocation's elements: 4 or 8

const uint tile = 16u * side; // rows and columns of a workgroup's result
const uint depth = 16u;       // of a step along the interior
const uint chunks = side / 4u;  // of four elements that an invocation loads, per operand and step
const uint pitch = tile / 4u + 1u;
shared vec4 leftTile[depth * pitch];  // [k][row / 4]
shared vec4 rightTile[depth * pitch]; // [k][column / 4]

// Chunk `c` of a tile: along the interior where that is how the operand lies in memory (pairs of
// invocations then read neighbouring chunks of a row), else along rows or columns.
struct Chunk { uint outer, k; };

Chunk chunkAlongInterior(uint c) {
    uint half_ = c >> 1;
    return Chunk(half_ % tile, (half_ / tile * 2u + (c & 1u)) * 4u);
}
Chunk chunkAcross(uint c) { return Chunk(c % (tile / 4u) * 4u, c / (tile / 4u)); }

// Elements of the interior from `end` on are another part's: zeros. Parts are multiples of `depth`.
vec4 loadLeft(uint matrix, uint first, uint k0, uint end, uint c) {
    if (transposeLeft != 0u) {
        Chunk at = chunkAcross(c);
        return k0 + at.k < end && first + at.outer < p.result.rows
                   ? left_load4(p.left, matrix, k0 + at.k, first + at.outer) : vec4(0.0);
    }
    Chunk at = chunkAlongInterior(c);
    return first + at.outer < p.result.rows && k0 + at.k < end
               ? left_load4(p.left, matrix, first + at.outer, k0 + at.k) : vec4(0.0);
}

vec4 loadRight(uint matrix, uint first, uint k0, uint end, uint c) {
    if (transposeRight == 0u) {
        Chunk at = chunkAcross(c);
        return k0 + at.k < end && first + at.outer < p.result.columns
                   ? right_load4(p.right, matrix, k0 + at.k, first + at.outer) : vec4(0.0);
    }
    Chunk at = chunkAlongInterior(c);
    return first + at.outer < p.result.columns && k0 + at.k < end
               ? right_load4(p.right, matrix, first + at.outer, k0 + at.k) : vec4(0.0);
}

#define STORE_CHUNK(ARRAY, ALONG_INTERIOR, C, VALUE)                                               \
    if (ALONG_INTERIOR) {                                                                          \
        Chunk at = chunkAlongInterior(C);                                                          \
        [[unroll]] for (uint q = 0u; q < 4u; ++q)                                                  \
            ARRAY[(at.k + q) * pitch + (at.outer >> 2)][at.outer & 3u] = VALUE[q];                 \
    } else {                                                                                       \
        Chunk at = chunkAcross(C);                                                                 \
        ARRAY[at.k * pitch + (at.outer >> 2)] = VALUE;                                             \
    }

void main() {
    uint t = gl_LocalInvocationIndex, tx = t % 16u, ty = t / 16u;
    // Neighbouring workgroups share operands: bands of eight tiles down.
    uint id = gl_WorkGroupID.x, perBand = 8u * p.tilesAcross, band = id / perBand * 8u;
    uint high = min(8u, p.tilesDown - band), rest = id % perBand;
    uint firstRow = (band + rest % high) * tile, firstColumn = rest / high * tile;
    uint matrix = gl_WorkGroupID.z / p.parts;
    uint begin = gl_WorkGroupID.z % p.parts * p.partInterior;
    uint end = min(begin + p.partInterior, p.interior);

    vec4 sums[side][chunks];
    [[unroll]] for (uint i = 0u; i < side; ++i)
        [[unroll]] for (uint j = 0u; j < chunks; ++j) sums[i][j] = vec4(0.0);
    vec4 nextLeft[chunks], nextRight[chunks];
    [[unroll]] for (uint c = 0u; c < chunks; ++c) {
        nextLeft[c] = loadLeft(matrix, firstRow, begin, end, t + 256u * c);
        nextRight[c] = loadRight(matrix, firstColumn, begin, end, t + 256u * c);
    }
    for (uint k0 = begin; k0 < end; k0 += depth) {
        barrier();
        [[unroll]] for (uint c = 0u; c < chunks; ++c) {
            STORE_CHUNK(leftTile, transposeLeft == 0u, t + 256u * c, nextLeft[c])
            STORE_CHUNK(rightTile, transposeRight != 0u, t + 256u * c, nextRight[c])
        }
        barrier();
        if (k0 + depth < end) {
            [[unroll]] for (uint c = 0u; c < chunks; ++c) {
                nextLeft[c] = loadLeft(matrix, firstRow, k0 + depth, end, t + 256u * c);
                nextRight[c] = loadRight(matrix, firstColumn, k0 + depth, end, t + 256u * c);
            }
        }
        [[unroll]] for (uint k = 0u; k < depth; ++k) {
            vec4 a[chunks], b[chunks];
            [[unroll]] for (uint c = 0u; c < chunks; ++c) {
                a[c] = leftTile[k * pitch + c * 16u + ty];
                b[c] = rightTile[k * pitch + c * 16u + tx];
            }
            [[unroll]] for (uint i = 0u; i < side; ++i)
                [[unroll]] for (uint j = 0u; j < chunks; ++j)
                    sums[i][j] = fma(vec4(a[i / 4u][i % 4u]), b[j], sums[i][j]);
        }
    }
    vec4 biases[chunks];
    [[unroll]] for (uint j = 0u; j < chunks; ++j)
        biases[j] = biasAt(matrix, firstColumn + j * 64u + tx * 4u);
    [[unroll]] for (uint i = 0u; i < side; ++i) {
        uint row = firstRow + i / 4u * 64u + ty * 4u + i % 4u;
        if (row >= p.result.rows) continue;
        [[unroll]] for (uint j = 0u; j < chunks; ++j) {
            uint column = firstColumn + j * 64u + tx * 4u;
            if (column >= p.result.columns) continue;
            result_store4(p.result, gl_WorkGroupID.z, row, column,
                          finished(gl_WorkGroupID.z, row, column, sums[i][j], biases[j]));
        }
    }
}
