// A product of fp16 operands by cooperative matrices of 16x16x16 with sums in fp32, tile by tile. A
// workgroup of subgroupsDown x subgroupsAcross subgroups computes tileRows x tileColumns elements,
// a subgroup blocksDown x blocksAcross blocks of 16x16; a step covers `depth` of the interior.
//
// Operands are read in chunks of eight halves, along the interior or across it, as they lie in
// memory, and keep that order in shared memory. The includer declares before this file
//     const bool leftAlong, rightAlong;    // the interior is what lies together
// and defines, with `i` a constant that counts the invocation's own chunks,
//     void advance();                                 // from a step, first 0, to the next, or to one
//                                                     // beyond the last, whose chunks are not used
//     uvec4 leftChunk(uint i, uint row, uint k);      // of the tile; k counts within the step
//     uvec4 rightChunk(uint i, uint column, uint k);
//     void elementsStore(uint row, uint column, vec4 sums, vec4 next); // eight columns of the tile
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

#define CHUNK 8u
const uint ownRows = 16u * blocksDown, ownColumns = 16u * blocksAcross; // of a subgroup
const uint tileRows = ownRows * subgroupsDown, tileColumns = ownColumns * subgroupsAcross;
const uint lanes = gl_WorkGroupSize.x / (subgroupsDown * subgroupsAcross);

// Pitches are odd multiples of 16 bytes: reads of neighbouring rows meet different banks.
const uint alongPitch = depth / 8u + 1u;
const uint leftAcrossPitch = tileRows / 8u + 1u, rightAcrossPitch = tileColumns / 8u + 1u;
const uint leftSize = leftAlong ? tileRows * alongPitch : depth * leftAcrossPitch;
const uint rightSize = rightAlong ? tileColumns * alongPitch : depth * rightAcrossPitch;
const uint leftChunks = tileRows * depth / 8u / gl_WorkGroupSize.x;
const uint rightChunks = tileColumns * depth / 8u / gl_WorkGroupSize.x;
// The results leave through shared memory, sixteen rows of each subgroup at a time: its own strip.
const uint stripPitch = ownColumns / 4u + 1u;
const uint stripSize = 16u * stripPitch * subgroupsDown * subgroupsAcross;
const uint operandSize = leftSize + rightSize;
shared uvec4 tiles[operandSize > stripSize ? operandSize : stripSize];

void advance();
uvec4 leftChunk(uint i, uint row, uint k);
uvec4 rightChunk(uint i, uint column, uint k);
void elementsStore(uint row, uint column, vec4 sums, vec4 next);

// Zero in the lanes of a texel that are no channels of the view.
uvec2 usedHalves(ImageView v, uint slice, uvec2 halves) {
    uvec2 used = uvec2(0u);
    [[unroll]] for (uint c = 0u; c < 4u; ++c)
        if (slice * 4u + c < v.channels) used[c / 2u] |= halves[c / 2u] & 0xffffu << 16u * (c % 2u);
    return used;
}

uint chunkOf(uint i) { return gl_LocalInvocationIndex + i * gl_WorkGroupSize.x; }

// Chunks along the interior: rows that are stored at once lie four apart where a row is short.
uint alongOuter(uint chunk, uint size) {
    uint row = chunk / (depth / 8u);
    return depth == 32u ? (row & ~7u) | (row & 1u) << 2 | (row >> 1 & 3u) : row;
}
uint alongInner(uint chunk, uint size) { return chunk % (depth / 8u); }

#define COOPERATIVE_LOAD(I, ALONG, SIZE, CHUNK)                                                    \
    (ALONG ? CHUNK(I, alongOuter(chunkOf(I), SIZE), alongInner(chunkOf(I), SIZE) * 8u)                         \
           : CHUNK(I, chunkOf(I) % (SIZE / 8u) * 8u, chunkOf(I) / (SIZE / 8u)))
#define COOPERATIVE_PLACE(I, ALONG, SIZE, ACROSS_PITCH)                                            \
    (ALONG ? alongOuter(chunkOf(I), SIZE) * alongPitch + alongInner(chunkOf(I), SIZE)                          \
           : chunkOf(I) / (SIZE / 8u) * ACROSS_PITCH + chunkOf(I) % (SIZE / 8u))
#define COOPERATIVE_LOADS                                                                          \
    [[unroll]] for (uint i = 0u; i < leftChunks; ++i)                                              \
        nextLeft[i] = COOPERATIVE_LOAD(i, leftAlong, tileRows, leftChunk);                         \
    [[unroll]] for (uint i = 0u; i < rightChunks; ++i)                                             \
        nextRight[i] = COOPERATIVE_LOAD(i, rightAlong, tileColumns, rightChunk);

void productRun(uint steps) {
    uint firstRow = gl_SubgroupID / subgroupsAcross * ownRows;
    uint firstColumn = gl_SubgroupID % subgroupsAcross * ownColumns;
    coopmat<float, gl_ScopeSubgroup, 16, 16, gl_MatrixUseAccumulator> sums[blocksDown][blocksAcross];
    [[unroll]] for (uint i = 0u; i < blocksDown; ++i)
        [[unroll]] for (uint j = 0u; j < blocksAcross; ++j)
            sums[i][j] = coopmat<float, gl_ScopeSubgroup, 16, 16, gl_MatrixUseAccumulator>(0.0);
    uvec4 nextLeft[leftChunks], nextRight[rightChunks];
    if (steps > 0u) { COOPERATIVE_LOADS }
    for (uint step = 0u; step < steps; ++step) {
        [[unroll]] for (uint i = 0u; i < leftChunks; ++i)
            tiles[COOPERATIVE_PLACE(i, leftAlong, tileRows, leftAcrossPitch)] = nextLeft[i];
        [[unroll]] for (uint i = 0u; i < rightChunks; ++i)
            tiles[leftSize + COOPERATIVE_PLACE(i, rightAlong, tileColumns, rightAcrossPitch)] =
                nextRight[i];
        advance();
        barrier();
        COOPERATIVE_LOADS
        [[unroll]] for (uint k = 0u; k < depth; k += 16u) {
            coopmat<float16_t, gl_ScopeSubgroup, 16, 16, gl_MatrixUseA> a[blocksDown];
            [[unroll]] for (uint i = 0u; i < blocksDown; ++i) {
                if (leftAlong)
                    coopMatLoad(a[i], tiles, (firstRow + 16u * i) * alongPitch + k / 8u, alongPitch,
                                gl_CooperativeMatrixLayoutRowMajor);
                else
                    coopMatLoad(a[i], tiles, k * leftAcrossPitch + (firstRow + 16u * i) / 8u,
                                leftAcrossPitch, gl_CooperativeMatrixLayoutColumnMajor);
            }
            [[unroll]] for (uint j = 0u; j < blocksAcross; ++j) {
                coopmat<float16_t, gl_ScopeSubgroup, 16, 16, gl_MatrixUseB> b;
                if (rightAlong)
                    coopMatLoad(b, tiles, leftSize + (firstColumn + 16u * j) * alongPitch + k / 8u,
                                alongPitch, gl_CooperativeMatrixLayoutColumnMajor);
                else
                    coopMatLoad(b, tiles, leftSize + k * rightAcrossPitch + (firstColumn + 16u * j) / 8u,
                                rightAcrossPitch, gl_CooperativeMatrixLayoutRowMajor);
                [[unroll]] for (uint i = 0u; i < blocksDown; ++i)
                    sums[i][j] = coopMatMulAdd(a[i], b, sums[i][j]);
            }
        }
        barrier();
    }

    uint strip = gl_SubgroupID * 16u * stripPitch;
    [[unroll]] for (uint i = 0u; i < blocksDown; ++i) {
        [[unroll]] for (uint j = 0u; j < blocksAcross; ++j)
            coopMatStore(sums[i][j], tiles, strip + 4u * j, stripPitch,
                         gl_CooperativeMatrixLayoutRowMajor);
        subgroupBarrier();
        for (uint e = gl_SubgroupInvocationID; e < 16u * ownColumns / 8u; e += lanes) {
            uint row = e / (ownColumns / 8u), column = e % (ownColumns / 8u);
            uint at = strip + row * stripPitch + column * 2u;
            elementsStore(firstRow + 16u * i + row, firstColumn + column * 8u,
                          uintBitsToFloat(tiles[at]), uintBitsToFloat(tiles[at + 1u]));
        }
        subgroupBarrier();
    }
}
