// A product of operands in fp32, tile by tile: a workgroup of invocationsDown x invocationsAcross
// computes tileRows x tileColumns elements, an invocation blocksDown x blocksAcross blocks of 4x4 in
// registers; a step covers `depth` of the interior. Loads are two steps ahead of the multiplication,
// stores to shared memory one.
//
// Operands are read in chunks of four elements, along the interior or across it, as they lie in memory.
// The includer declares before this file
//     const bool leftAlong, rightAlong;    // the interior is what lies together
// and defines, with `i` a constant that counts the invocation's own chunks,
//     void advance();                                 // from a step, first 0, to the next, or to those
//                                                     // beyond the last, whose chunks are not used
//     vec4 leftChunk(uint i, uint row, uint k);       // of the tile; k counts within the step
//     vec4 rightChunk(uint i, uint column, uint k);
//     void elementsStore(uint row, uint column, vec4 sums); // four columns of the tile
#extension GL_EXT_control_flow_attributes : require

layout(local_size_x_id = 45) in;
layout(constant_id = 40) const uint invocationsDown = 8u;
layout(constant_id = 41) const uint invocationsAcross = 16u;
layout(constant_id = 42) const uint blocksDown = 4u;
layout(constant_id = 43) const uint blocksAcross = 2u;
layout(constant_id = 44) const uint depth = 8u;

#define CHUNK 4u
const uint tileRows = 4u * blocksDown * invocationsDown;
const uint tileColumns = 4u * blocksAcross * invocationsAcross;
const uint leftChunks = tileRows * depth / 4u / gl_WorkGroupSize.x;
// A narrow tile may have fewer than there are invocations: some of these load none.
const uint rightLoads = tileColumns * depth / 4u;
const uint rightChunks = (rightLoads + gl_WorkGroupSize.x - 1u) / gl_WorkGroupSize.x;
const uint leftPitch = tileRows / 4u + 1u, rightPitch = tileColumns / 4u + 1u;
const uint leftSize = depth * leftPitch, rightSize = depth * rightPitch;
shared vec4 leftTiles[2u * leftSize];   // [k][row / 4]
shared vec4 rightTiles[2u * rightSize]; // [k][column / 4]

void advance();
vec4 leftChunk(uint i, uint row, uint k);
vec4 rightChunk(uint i, uint column, uint k);
void elementsStore(uint row, uint column, vec4 sums);

#include "tileChunks.glsl"

// Chunks along the interior: pairs of invocations read neighbouring ones of a row.
uint alongOuter(uint chunk, uint size) { return (chunk >> 1) % size; }
uint alongInner(uint chunk, uint size) { return (chunk >> 1) / size * 2u + (chunk & 1u); }

#define BLOCKS_LOAD(I, ALONG, SIZE, LOAD)                                                          \
    (ALONG ? LOAD(I, alongOuter(chunkOf(I), SIZE), alongInner(chunkOf(I), SIZE) * 4u)              \
           : LOAD(I, acrossChunk(I, SIZE) * 4u, acrossRow(I, SIZE)))
bool loadsRight() {
    if (rightLoads >= gl_WorkGroupSize.x) {
        return true;
    }
    return ROWS_TOGETHER ? gl_LocalInvocationIndex % rowLanes < tileColumns / 4u
                         : gl_LocalInvocationIndex < rightLoads;
}
#define BLOCKS_LOADS                                                                               \
    [[unroll]] for (uint i = 0u; i < leftChunks; ++i)                                              \
        nextLeft[i] = BLOCKS_LOAD(i, leftAlong, tileRows, leftChunk);                              \
    [[unroll]] for (uint i = 0u; i < rightChunks; ++i)                                             \
        nextRight[i] =                                                                             \
            loadsRight() ? BLOCKS_LOAD(i, rightAlong, tileColumns, rightChunk) : vec4(0.0);
#define BLOCKS_STORE(ARRAY, BASE, PITCH, SIZE, ALONG, I, VALUE)                                    \
    if (ALONG) {                                                                                   \
        uint outer = alongOuter(chunkOf(I), SIZE), k = alongInner(chunkOf(I), SIZE) * 4u;          \
        [[unroll]] for (uint q = 0u; q < 4u; ++q)                                                  \
            ARRAY[BASE + (k + q) * PITCH + (outer >> 2)][outer & 3u] = VALUE[q];                   \
    } else {                                                                                       \
        ARRAY[BASE + acrossRow(I, SIZE) * PITCH + acrossChunk(I, SIZE)] = VALUE;                   \
    }

void productRun(uint steps) {
    uint tx = gl_LocalInvocationIndex % invocationsAcross;
    uint ty = gl_LocalInvocationIndex / invocationsAcross;
    vec4 sums[4u * blocksDown][blocksAcross];
    [[unroll]] for (uint i = 0u; i < 4u * blocksDown; ++i)
        [[unroll]] for (uint j = 0u; j < blocksAcross; ++j) sums[i][j] = vec4(0.0);
    vec4 nextLeft[leftChunks], nextRight[rightChunks];
    uint rounds = steps > 0u ? steps + 2u : 0u;
    for (uint step = 0u; step < rounds; ++step) {
        uint parity = step % 2u;
        if (step > 0u) {
            [[unroll]] for (uint i = 0u; i < leftChunks; ++i)
                BLOCKS_STORE(leftTiles, (1u - parity) * leftSize, leftPitch, tileRows, leftAlong, i,
                             nextLeft[i])
            if (loadsRight()) {
                [[unroll]] for (uint i = 0u; i < rightChunks; ++i)
                    BLOCKS_STORE(rightTiles, (1u - parity) * rightSize, rightPitch, tileColumns,
                                 rightAlong, i, nextRight[i])
            }
        }
        BLOCKS_LOADS
        advance();
        if (step > 1u) {
            [[unroll]] for (uint k = 0u; k < depth; ++k) {
                vec4 a[blocksDown], b[blocksAcross];
                [[unroll]] for (uint i = 0u; i < blocksDown; ++i)
                    a[i] = leftTiles[parity * leftSize + k * leftPitch + i * invocationsDown + ty];
                [[unroll]] for (uint j = 0u; j < blocksAcross; ++j)
                    b[j] = rightTiles[parity * rightSize + k * rightPitch + j * invocationsAcross + tx];
                [[unroll]] for (uint i = 0u; i < 4u * blocksDown; ++i)
                    [[unroll]] for (uint j = 0u; j < blocksAcross; ++j)
                        sums[i][j] = fma(vec4(a[i / 4u][i % 4u]), b[j], sums[i][j]);
            }
        }
        barrier();
    }
    [[unroll]] for (uint i = 0u; i < 4u * blocksDown; ++i)
        [[unroll]] for (uint j = 0u; j < blocksAcross; ++j)
            elementsStore((i / 4u * invocationsDown + ty) * 4u + i % 4u,
                          (j * invocationsAcross + tx) * 4u, sums[i][j]);
}
