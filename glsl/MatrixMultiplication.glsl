// Products of matrices through tiles in shared memory. Of a workgroup of THREADS_DOWN x 16 invocations
// each computes DOWN x ACROSS blocks of 4 x 4 elements; the includer defines these, and the DEPTH of a
// step along the interior. Loads are two steps ahead of the multiplication, stores one.
#include "matrixProduct.glsl"

const uint invocations = THREADS_DOWN * 16u;
layout(local_size_x = THREADS_DOWN * 16) in;
MATRIX_SOURCE(2, right)
layout(constant_id = 32) const uint transposeLeft = 0u;
layout(constant_id = 33) const uint transposeRight = 0u;
// The operands are aligned, and their rows, columns and the interior whole chunks; the interior and its
// parts are whole steps. Then nothing but whole chunks is read.
layout(constant_id = 37) const bool WHOLE = false;
// Tiles that lie below the diagonal are left out (MatrixMultiplicationMirror).
layout(constant_id = 38) const uint symmetric = 0u;

const uint tileRows = 4u * DOWN * THREADS_DOWN, tileColumns = 64u * ACROSS;
// Chunks of four elements that an invocation loads for a step.
const uint leftChunks = tileRows * DEPTH / 4u / invocations;
const uint rightChunks = tileColumns * DEPTH / 4u / invocations;
const uint leftPitch = tileRows / 4u + 1u, rightPitch = tileColumns / 4u + 1u;
shared vec4 leftTiles[2u * DEPTH * leftPitch];   // [k][row / 4]
shared vec4 rightTiles[2u * DEPTH * rightPitch]; // [k][column / 4]

// Chunk `c` of a tile: along the interior where that is how the operand lies in memory (pairs of
// invocations then read neighbouring chunks of a row), else along rows or columns.
struct Chunk { uint outer, k; };

Chunk chunkAlongInterior(uint c, uint size) {
    uint half_ = c >> 1;
    return Chunk(half_ % size, (half_ / size * 2u + (c & 1u)) * 4u);
}
Chunk chunkAcross(uint c, uint size) { return Chunk(c % (size / 4u) * 4u, c / (size / 4u)); }

// Elements of the interior from `end` on are another part's: zeros. Parts are multiples of DEPTH. What
// lies beyond the result's rows and columns is multiplied, but not stored.
#define LOAD_CHUNK(NAME, ALONG_INTERIOR, SIZE, TILE)                                               \
    vec4 NAME##_chunk(MatrixView v, uint matrix, uint first, uint k0, uint end, uint c) {          \
        Chunk at = ALONG_INTERIOR ? chunkAlongInterior(c, TILE) : chunkAcross(c, TILE);            \
        uint outer = first + at.outer, k = k0 + at.k;                                              \
        if (WHOLE) {                                                                               \
            outer = min(outer, SIZE - (ALONG_INTERIOR ? 1u : 4u));                                 \
            return NAME##_loadAligned(v, matrix, ALONG_INTERIOR ? outer : k,                       \
                                      ALONG_INTERIOR ? k : outer);                                 \
        }                                                                                          \
        if (outer >= SIZE || k >= end) return vec4(0.0);                                           \
        return NAME##_load4(v, matrix, ALONG_INTERIOR ? outer : k, ALONG_INTERIOR ? k : outer);    \
    }
LOAD_CHUNK(left, transposeLeft == 0u, p.result.rows, tileRows)
LOAD_CHUNK(right, transposeRight != 0u, p.result.columns, tileColumns)

#define STORE_CHUNK(ARRAY, BASE, PITCH, SIZE, ALONG_INTERIOR, C, VALUE)                            \
    if (ALONG_INTERIOR) {                                                                          \
        Chunk at = chunkAlongInterior(C, SIZE);                                                    \
        [[unroll]] for (uint q = 0u; q < 4u; ++q)                                                  \
            ARRAY[BASE + (at.k + q) * PITCH + (at.outer >> 2)][at.outer & 3u] = VALUE[q];          \
    } else {                                                                                       \
        Chunk at = chunkAcross(C, SIZE);                                                           \
        ARRAY[BASE + at.k * PITCH + (at.outer >> 2)] = VALUE;                                      \
    }
#define STORE_STEP(PARITY)                                                                         \
    [[unroll]] for (uint c = 0u; c < leftChunks; ++c)                                              \
        STORE_CHUNK(leftTiles, (PARITY) * DEPTH * leftPitch, leftPitch, tileRows,                  \
                    transposeLeft == 0u, t + invocations * c, nextLeft[c])                         \
    [[unroll]] for (uint c = 0u; c < rightChunks; ++c)                                             \
        STORE_CHUNK(rightTiles, (PARITY) * DEPTH * rightPitch, rightPitch, tileColumns,            \
                    transposeRight != 0u, t + invocations * c, nextRight[c])
#define LOAD_STEP(K0)                                                                              \
    [[unroll]] for (uint c = 0u; c < leftChunks; ++c)                                              \
        nextLeft[c] = left_chunk(p.left, matrix, firstRow, K0, end, t + invocations * c);          \
    [[unroll]] for (uint c = 0u; c < rightChunks; ++c)                                             \
        nextRight[c] = right_chunk(p.right, matrix, firstColumn, K0, end, t + invocations * c);

uint rowOf(uint firstRow, uint ty, uint i) {
    return firstRow + (i / 4u * THREADS_DOWN + ty) * 4u + i % 4u;
}

void main() {
    uint t = gl_LocalInvocationIndex, tx = t % 16u, ty = t / 16u;
    // Neighbouring workgroups share operands: bands of eight tiles down.
    uint id = gl_WorkGroupID.x, perBand = 8u * p.tilesAcross, band = id / perBand * 8u;
    uint high = min(8u, p.tilesDown - band), rest = id % perBand;
    uint firstRow = (band + rest % high) * tileRows, firstColumn = rest / high * tileColumns;
    if (symmetric != 0u && firstRow >= firstColumn + tileColumns) return;
    uint matrix = gl_WorkGroupID.z / p.parts;
    uint begin = gl_WorkGroupID.z % p.parts * p.partInterior;
    uint end = min(begin + p.partInterior, p.interior);

    vec4 sums[4 * DOWN][ACROSS];
    [[unroll]] for (uint i = 0u; i < 4u * DOWN; ++i)
        [[unroll]] for (uint j = 0u; j < ACROSS; ++j) sums[i][j] = vec4(0.0);
    vec4 nextLeft[leftChunks], nextRight[rightChunks];
    uint steps = (end - begin + DEPTH - 1u) / DEPTH;
    for (uint step = 0u; step < steps + 2u; ++step) {
        uint parity = step % 2u;
        if (step > 0u) {
            STORE_STEP(1u - parity)
        }
        // The last step's once more, rather than loads in a branch: these begin early.
        LOAD_STEP(begin + min(step, steps - 1u) * DEPTH)
        if (step > 1u) {
            [[unroll]] for (uint k = 0u; k < DEPTH; ++k) {
                vec4 a[DOWN], b[ACROSS];
                [[unroll]] for (uint i = 0u; i < DOWN; ++i)
                    a[i] = leftTiles[(parity * DEPTH + k) * leftPitch + i * THREADS_DOWN + ty];
                [[unroll]] for (uint j = 0u; j < ACROSS; ++j)
                    b[j] = rightTiles[(parity * DEPTH + k) * rightPitch + j * 16u + tx];
                [[unroll]] for (uint i = 0u; i < 4u * DOWN; ++i)
                    [[unroll]] for (uint j = 0u; j < ACROSS; ++j)
                        sums[i][j] = fma(vec4(a[i / 4u][i % 4u]), b[j], sums[i][j]);
            }
        }
        barrier();
    }
    vec4 biases[ACROSS];
    [[unroll]] for (uint j = 0u; j < ACROSS; ++j)
        biases[j] = biasAt(matrix, firstColumn + j * 64u + tx * 4u);
    const uint z = gl_WorkGroupID.z;
    if (WHOLE || (p.result.isAligned != 0u && p.result.columns % 4u == 0u)) {
        [[unroll]] for (uint i = 0u; i < 4u * DOWN; ++i) {
            uint row = rowOf(firstRow, ty, i);
            [[unroll]] for (uint j = 0u; j < ACROSS; ++j) {
                uint column = firstColumn + j * 64u + tx * 4u;
                if (row < p.result.rows && column < p.result.columns)
                    result_storeAligned(p.result, z, row, column,
                                        finishedAligned(z, row, column, sums[i][j], biases[j]));
            }
        }
        return;
    }
    // Code for any alignment is long: it is there once, for the sums of each row in turn.
    [[dont_unroll]] for (uint i = 0u; i < 4u * DOWN; ++i) {
        uint row = rowOf(firstRow, ty, i);
        [[unroll]] for (uint j = 0u; j < ACROSS; ++j) {
            vec4 sum = sums[0][j];
            [[unroll]] for (uint other = 1u; other < 4u * DOWN; ++other)
                sum = i == other ? sums[other][j] : sum;
            uint column = firstColumn + j * 64u + tx * 4u;
            if (row < p.result.rows && column < p.result.columns)
                result_store4(p.result, z, row, column, finished(z, row, column, sum, biases[j]));
        }
    }
}
