// A product of operands in 16 bits by cooperative matrices of 16x16x16 with sums in fp32, tile by tile. A
// workgroup of subgroupsDown x subgroupsAcross subgroups computes tileRows x tileColumns elements,
// a subgroup blocksDown x blocksAcross blocks of 16x16; a step covers `depth` of the interior. With
// subgroupsDeep there are so many times as many subgroups, which share each step's depth; their sums are
// added up at the end, in order.
//
// Operands are read in chunks, along the interior or across it, as they lie in memory, and keep that
// order in shared memory. They are chunks of eight halves, or with MPSVK_BFLOAT16 of four elements in
// fp32, each of which is the sum of two or three bf16 (`shares`). Two are nearly all of it, and of their
// products low * low is left out. Three are all 24 bits; the three products that are left out come to about
// half a unit of the exact product's last place, as rounding would, and to less than three.
// The includer declares before this file
//     const bool leftAlong, rightAlong;    // the interior is what lies together
//     const bool advancesAmidProducts;     // for an advance() without branches: it fills gaps between them
// and defines, with `i` a constant that counts the invocation's own chunks,
//     void advance();                                 // from a step, first 0, to the next, or to one
//                                                     // beyond the last, whose chunks are not used
//     Chunk leftChunk(uint i, uint row, uint k);      // of the tile; k counts within the step
//     Chunk rightChunk(uint i, uint column, uint k);
//     void elementsStore(uint row, uint column, vec4 sums, vec4 next); // STORED_COLUMNS of the tile: eight, or
//                                                                      // four where that is defined so
//     void elementsStore(uint row, uint column, vec4 sums);            // four with MPSVK_BFLOAT16
// and may define LEFT_STORED(CHUNK): what becomes of a chunk of the left operand on its way to shared
// memory, when its load is over. What is done to it sooner waits for the load before the products.
// It may define LOADS_TWO_AHEAD as a constant that is true where loads are two steps ahead of the products
// instead of one; advance() then goes as far beyond the last step, and advancesAmidProducts.
// Where results are sums times a factor in fp16, it may define STORES_HALVES as a constant that is true, and
//     SUMS_FACTOR
//     void halvesStore(uint row, uint column, uvec4 results);          // eight columns
#extension GL_KHR_cooperative_matrix : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#extension GL_EXT_control_flow_attributes : require

layout(local_size_x_id = 45) in;
layout(constant_id = 40) const uint subgroupsDown = 2u;
layout(constant_id = 41) const uint subgroupsAcross = 2u;
layout(constant_id = 42) const uint blocksDown = 4u;
layout(constant_id = 43) const uint blocksAcross = 4u;
layout(constant_id = 44) const uint depth = 32u;
layout(constant_id = 52) const uint subgroupsDeep = 1u;

// Bits of a component stand for two elements. The compiler does not know bf16: it is told that they are
// halves, and cmake/CompileShader.cmake puts the type of them right.
#ifdef MPSVK_BFLOAT16
#define CHUNK 4u
#define Chunk vec4
layout(constant_id = 53) const uint shares = 2u; // of an operand: high, low; or high, middle, low
const uint products = 3u; // of two shares
#else
#define CHUNK 8u
#define Chunk uvec4
const uint shares = 1u;
const uint products = 1u;
#endif
const uint ownRows = 16u * blocksDown, ownColumns = 16u * blocksAcross; // of a subgroup
const uint tileRows = ownRows * subgroupsDown, tileColumns = ownColumns * subgroupsAcross;
const uint subgroupsFlat = subgroupsDown * subgroupsAcross;
const uint lanes = gl_WorkGroupSize.x / (subgroupsFlat * subgroupsDeep);
const uint ownDepth = depth / subgroupsDeep;

// Pitches are odd multiples of 16 bytes: reads of neighbouring rows meet different banks.
const uint alongPitch = depth / 8u + 1u;
const uint leftAcrossPitch = tileRows / 8u + 1u, rightAcrossPitch = tileColumns / 8u + 1u;
const uint leftSize = leftAlong ? tileRows * alongPitch : depth * leftAcrossPitch; // of a share
const uint rightSize = rightAlong ? tileColumns * alongPitch : depth * rightAcrossPitch;
const uint leftChunks = tileRows * depth / CHUNK / gl_WorkGroupSize.x;
const uint rightChunks = tileColumns * depth / CHUNK / gl_WorkGroupSize.x;
// The results leave through shared memory, sixteen rows of each subgroup at a time: its own strip.
const uint stripPitch = ownColumns / 4u + 1u;
const uint flatStrips = 16u * stripPitch * subgroupsFlat;
const uint stripSize = flatStrips * subgroupsDeep;
const uint rightBase = shares * leftSize;
const uint operandSize = shares * (leftSize + rightSize);
shared uvec4 tiles[operandSize > stripSize ? operandSize : stripSize];

vec4 stripSums(uint at) {
    vec4 sums = uintBitsToFloat(tiles[at]);
    [[unroll]] for (uint d = 1u; d < subgroupsDeep; ++d) sums += uintBitsToFloat(tiles[at + d * flatStrips]);
    return sums;
}

void advance();
Chunk leftChunk(uint i, uint row, uint k);
Chunk rightChunk(uint i, uint column, uint k);
#ifdef MPSVK_BFLOAT16
#define STORED_COLUMNS 4u
void elementsStore(uint row, uint column, vec4 sums);
#define ELEMENTS_STORE(ROW, COLUMN, AT) elementsStore(ROW, COLUMN, stripSums(AT))

// The bits of x as a bf16. It is scaled by about half a unit of the last place and cut off: nearly as good
// as rounding it, and unlike a half unit that is added to the bits it leaves NaN what it is.
uvec4 roundedBits(vec4 x) { return floatBitsToUint(x * 1.0026) & 0xffff0000u; }

void shareStore(uint at, uint c, uvec4 bits) {
    tiles[at][c] = bits.x >> 16 | bits.y;
    tiles[at][c + 1u] = bits.z >> 16 | bits.w;
}

// Infinity becomes NaN. The first of three shares is cut off, lest the largest numbers become infinite.
void chunkStore(uint base, uint size, uint place, vec4 x) {
    uint at = base + place / 2u, c = place % 2u * 2u;
    uvec4 high = floatBitsToUint(x) + (shares == 2u ? 0x8000u : 0u) & 0xffff0000u;
    shareStore(at, c, high);
    vec4 rest = x - uintBitsToFloat(high);
    uvec4 next = roundedBits(rest);
    shareStore(at + size, c, next);
    if (shares == 3u) {
        shareStore(at + 2u * size, c, floatBitsToUint(rest - uintBitsToFloat(next)) & 0xffff0000u);
    }
}
#else
#ifndef STORED_COLUMNS
#define STORED_COLUMNS 8u
#endif
void elementsStore(uint row, uint column, vec4 sums, vec4 next);
#define ELEMENTS_STORE(ROW, COLUMN, AT)                                                            \
    elementsStore(ROW, COLUMN, stripSums(AT), stripSums((AT) + 1u))

void chunkStore(uint base, uint size, uint place, uvec4 chunk) { tiles[base + place] = chunk; }

// Zero in the lanes of a texel that are no channels of the view.
uvec2 usedHalves(ImageView v, uint slice, uvec2 halves) {
    uvec2 used = uvec2(0u);
    [[unroll]] for (uint c = 0u; c < 4u; ++c)
        if (slice * 4u + c < v.channels) used[c / 2u] |= halves[c / 2u] & 0xffffu << 16u * (c % 2u);
    return used;
}
#endif

#include "tileChunks.glsl"

// Chunks along the interior: where rows are short, those that are stored at once lie four or two apart.
uint alongOuter(uint chunk, uint size) {
    uint row = chunk / (depth / CHUNK);
    return depth == 32u   ? (row & ~7u) | (row & 1u) << 2 | (row >> 1 & 3u)
           : depth == 16u ? (row & ~7u) | (row & 3u) << 1 | (row >> 2 & 1u)
                          : row;
}
uint alongInner(uint chunk, uint size) { return chunk % (depth / CHUNK); }

#define COOPERATIVE_LOAD(I, ALONG, SIZE, LOAD)                                                     \
    (ALONG ? LOAD(I, alongOuter(chunkOf(I), SIZE), alongInner(chunkOf(I), SIZE) * CHUNK)           \
           : LOAD(I, acrossChunk(I, SIZE) * CHUNK, acrossRow(I, SIZE)))
#define COOPERATIVE_PLACE(I, ALONG, SIZE, ACROSS_PITCH)                                            \
    (ALONG ? alongOuter(chunkOf(I), SIZE) * alongPitch * (8u / CHUNK) +                            \
                 alongInner(chunkOf(I), SIZE)                                                      \
           : acrossRow(I, SIZE) * ACROSS_PITCH * (8u / CHUNK) + acrossChunk(I, SIZE))
#define COOPERATIVE_LOADS(LEFT, RIGHT)                                                             \
    [[unroll]] for (uint i = 0u; i < leftChunks; ++i)                                              \
        LEFT[i] = COOPERATIVE_LOAD(i, leftAlong, tileRows, leftChunk);                             \
    [[unroll]] for (uint i = 0u; i < rightChunks; ++i)                                             \
        RIGHT[i] = COOPERATIVE_LOAD(i, rightAlong, tileColumns, rightChunk);

// Where what is done with results is short.
#ifdef UNROLLED_STORES
#define STORE_LOOP [[unroll]]
#else
#define STORE_LOOP
#endif

#ifndef LEFT_STORED
#define LEFT_STORED(CHUNK) CHUNK
#endif

#ifdef STORES_HALVES
void halvesStore(uint row, uint column, uvec4 results);
#endif

#define Sums coopmat<float, gl_ScopeSubgroup, 16, 16, gl_MatrixUseAccumulator>

// Block I of the left operand's share that begins at SHARE, at K of the step's depth; of the right one's J.
#define LEFT_LOAD(A, SHARE, I, K)                                                                           \
    if (leftAlong)                                                                                          \
        coopMatLoad(A, tiles, (SHARE) + (firstRow + 16u * (I)) * alongPitch + (K) / 8u, alongPitch,         \
                    gl_CooperativeMatrixLayoutRowMajor);                                                    \
    else                                                                                                    \
        coopMatLoad(A, tiles, (SHARE) + (K) * leftAcrossPitch + (firstRow + 16u * (I)) / 8u,                \
                    leftAcrossPitch, gl_CooperativeMatrixLayoutColumnMajor);
#define RIGHT_LOAD(B, SHARE, J, K)                                                                          \
    if (rightAlong)                                                                                         \
        coopMatLoad(B, tiles, rightBase + (SHARE) + (firstColumn + 16u * (J)) * alongPitch + (K) / 8u,      \
                    alongPitch, gl_CooperativeMatrixLayoutColumnMajor);                                     \
    else                                                                                                    \
        coopMatLoad(B, tiles, rightBase + (SHARE) + (K) * rightAcrossPitch + (firstColumn + 16u * (J)) / 8u,  \
                    rightAcrossPitch, gl_CooperativeMatrixLayoutRowMajor);

void stripBarrier() {
    if (subgroupsDeep == 1u) subgroupBarrier();
    else barrier();
}

void productRun(uint steps) {
    uint flatID = subgroupsDeep == 1u ? gl_SubgroupID : gl_SubgroupID % subgroupsFlat;
    uint level = subgroupsDeep == 1u ? 0u : gl_SubgroupID / subgroupsFlat; // in the depth
    uint firstRow = flatID / subgroupsAcross * ownRows;
    uint firstColumn = flatID % subgroupsAcross * ownColumns;
    Sums sums[blocksDown][blocksAcross];
    [[unroll]] for (uint i = 0u; i < blocksDown; ++i)
        [[unroll]] for (uint j = 0u; j < blocksAcross; ++j)
            sums[i][j] = Sums(0.0);
    Chunk nextLeft[leftChunks], nextRight[rightChunks];
#ifdef LOADS_TWO_AHEAD
    Chunk laterLeft[leftChunks], laterRight[rightChunks];
    if (LOADS_TWO_AHEAD) {
        COOPERATIVE_LOADS(nextLeft, nextRight)
        advance();
        COOPERATIVE_LOADS(laterLeft, laterRight)
        advance();
        for (uint step = 0u; step < steps; step += 2u) {
#include "cooperativeStep.glsl"
            if (step + 1u == steps) break;
#define nextLeft laterLeft
#define nextRight laterRight
#include "cooperativeStep.glsl"
#undef nextLeft
#undef nextRight
        }
        steps = 0u;
    }
#endif
    if (steps > 0u) {
        COOPERATIVE_LOADS(nextLeft, nextRight)
        if (advancesAmidProducts) advance();
    }
    for (uint step = 0u; step < steps; ++step) {
#include "cooperativeStep.glsl"
    }

#ifdef STORES_HALVES
    if (STORES_HALVES && subgroupsDeep == 1u) {
        const uint across = ownColumns / 8u, pitch = across + 1u, all = 16u * across;
        uint strip = gl_SubgroupID * 16u * pitch;
        [[unroll]] for (uint i = 0u; i < blocksDown; ++i) {
            [[unroll]] for (uint j = 0u; j < blocksAcross; ++j)
                coopMatStore(coopmat<float16_t, gl_ScopeSubgroup, 16, 16, gl_MatrixUseAccumulator>(
                                 sums[i][j] * SUMS_FACTOR),
                             tiles, strip + 2u * j, pitch, gl_CooperativeMatrixLayoutRowMajor);
            subgroupBarrier();
            [[unroll]] for (uint n = 0u; n < (all + lanes - 1u) / lanes; ++n) {
                uint e = n * lanes + gl_SubgroupInvocationID;
                if (all % lanes != 0u && e >= all) break;
                uint row = e / across, column = e % across;
                halvesStore(firstRow + 16u * i + row, firstColumn + 8u * column,
                            tiles[strip + row * pitch + column]);
            }
            subgroupBarrier();
        }
        return;
    }
#endif
    uint strip = flatID * 16u * stripPitch;
    [[unroll]] for (uint i = 0u; i < blocksDown; ++i) {
        [[unroll]] for (uint j = 0u; j < blocksAcross; ++j)
            coopMatStore(sums[i][j], tiles, level * flatStrips + strip + 4u * j, stripPitch,
                         gl_CooperativeMatrixLayoutRowMajor);
        stripBarrier();
        const uint stores = ownColumns / STORED_COLUMNS, all = 16u * stores;
        const uint turn = subgroupsDeep * lanes;
        STORE_LOOP for (uint n = 0u; n < (all + turn - 1u) / turn; ++n) {
            uint e = n * turn + level * lanes + gl_SubgroupInvocationID;
            if (all % turn != 0u && e >= all) break;
            uint row = e / stores, column = e % stores * STORED_COLUMNS;
            ELEMENTS_STORE(firstRow + 16u * i + row, firstColumn + column,
                           strip + row * stripPitch + column / 4u);
        }
        stripBarrier();
    }
}
