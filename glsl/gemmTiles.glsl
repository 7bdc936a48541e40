// The body of gemm.glsl through tiles of cooperative.glsl or blocks.glsl, for destinations in buffers and
// no clamped edges. All rows of a step read the same tap.
//
// By cooperative matrices sources are fp16 in buffers, their pixels whole chunks of eight channels, and
// weights exact in fp16. These are packed as halves, the texels of a tap filled up with zeros to whole
// steps (`tileSlices` is their number with those). Of an image of one texel a pixel, whole rows of taps
// take the place of a tap: MERGED_TAPS. By blocks, or with MPSVK_BFLOAT16, sources are any in buffers.
const bool leftAlong = true;
const bool rightAlong = false;
const bool advancesAmidProducts = TILE_TEXELS < 32u; // in larger tiles it is in their way
#define UNROLLED_STORES
#ifdef MPSVK_COOPERATIVE
// Results are sums alone, and whole chunks of eight channels.
layout(constant_id = 51) const bool STORES_SUMS = false;
#define STORES_HALVES STORES_SUMS
#define SUMS_FACTOR 1.0
layout(constant_id = 47) const bool MERGED_TAPS = false;
uvec2 mergedLanes; // of a texel of the source: the bits of its channels
#define LEFT_STORED(CHUNK) (MERGED_TAPS ? (CHUNK) & mergedLanes.xyxy : CHUNK)
#include "cooperative.glsl"
layout(set = 0, binding = 3, std430) readonly buffer HalfWeights {
    uvec4 halfWeights[];
};
// Texels of the destination are pairs at multiples of 16 bytes.
layout(constant_id = 39) const bool DESTINATION_PAIRS = false;
#else
#ifdef MPSVK_BFLOAT16
#include "cooperative.glsl"
#else
#include "blocks.glsl"
#endif
const bool MERGED_TAPS = false;
#endif

const uint STEP_SLICES = depth / 4u;
const uint OUTSIDE = 0xffffffffu;
const int FAR = -0x8000; // no tap of such a pixel lies within the source

shared uint rowTexels[tileRows]; // of the destination
uint ownBases[leftChunks];  // x and y of pixelBase in 16 bits each
uint ownTexels[leftChunks]; // of the source there, at the invocation's place in a step; the pixel's
                            // with MERGED_TAPS
uint ownInside;             // bit i: the tap of chunk i lies within the source
uvec2 tapCount;
uvec2 stepTap;       // of the taps that the workgroup visits
ivec2 firstOffset;   // from a pixel's base to the first of them
ivec2 offsetStride;
uint firstWeights;
uvec2 weightsStride;
uint stepSlice;
uint tapTexel;
uint tapWeights;

void findTap() {
    ownInside = 0u;
    ivec2 offset = firstOffset + ivec2(stepTap) * offsetStride;
    tapTexel = uint((offset.y * int(parameters.source.width) + offset.x) *
                    int(parameters.source.slices));
    tapWeights = firstWeights + stepTap.x * weightsStride.x + stepTap.y * weightsStride.y;
    [[unroll]] for (uint i = 0u; i < leftChunks; ++i) {
        int x = bitfieldExtract(int(ownBases[i]), 0, 16) + offset.x;
        int y = bitfieldExtract(int(ownBases[i]), 16, 16) + offset.y;
        bool inside = (MERGED_TAPS || uint(x) < parameters.source.width) &&
                      uint(y) < parameters.source.height;
        ownInside |= inside ? 1u << i : 0u;
    }
}

// Without branches, which end what the compiler may reorder.
void advance() {
    stepSlice += STEP_SLICES;
    bool entersTap = stepSlice >= parameters.tileSlices;
    stepSlice = entersTap ? 0u : stepSlice;
    stepTap.x += uint(entersTap);
    bool entersRow = stepTap.x == tapCount.x;
    stepTap.x = entersRow ? 0u : stepTap.x;
    stepTap.y += uint(entersRow);
    stepTap.y = stepTap.y == tapCount.y ? 0u : stepTap.y; // beyond the last step: the first one
    findTap();
}

#ifdef MPSVK_COOPERATIVE
uvec2 mergedTap(uint i, uint tap) {
    int x = bitfieldExtract(int(ownBases[i]), 0, 16) + int(tap) * parameters.dilationX;
    bool inside = (ownInside & 1u << i) != 0u && tap < parameters.kernelWidth &&
                  uint(x) < parameters.source.width;
    uint at = ownTexels[i] + tapTexel + tap * uint(parameters.dilationX) * parameters.source.slices;
    return inside ? source_float16[at] : uvec2(0u);
}

uvec4 leftChunk(uint i, uint row, uint k) {
    if (MERGED_TAPS) {
        uint tap = stepSlice + k / 4u;
        return uvec4(mergedTap(i, tap), mergedTap(i, tap + 1u));
    }
    if ((ownInside & 1u << i) == 0u || stepSlice * 4u + k >= parameters.reducedPerGroup) {
        return uvec4(0u);
    }
    return source_float16Pair[(ownTexels[i] + tapTexel + stepSlice) >> 1];
}

uvec4 rightChunk(uint i, uint column, uint k) {
    return halfWeights[tapWeights + ((stepSlice * 4u + k) * tileColumns + column) / 8u];
}
#else
vec4 leftChunk(uint i, uint row, uint k) {
    uint slice = stepSlice + k / 4u;
    if ((ownInside & 1u << i) == 0u || slice * 4u >= parameters.reducedPerGroup) {
        return vec4(0.0);
    }
    uint at = ownTexels[i] + tapTexel + stepSlice;
    return usedLanes(parameters.source, gemmFirstSlice() + slice, source_at(at));
}

vec4 rightChunk(uint i, uint column, uint k) {
    uint row = min(stepSlice * 4u + k, parameters.tileSlices * 4u - 1u); // of zeros on the left beyond
    return weights[tapWeights + (row * tileColumns + column) / 4u];
}
#endif

void texelStore(uint row, uint slice, vec4 value) {
    if (slice >= parameters.resultSlices) {
        return;
    }
    destination_put(rowTexels[row] + slice,
                    usedLanes(parameters.destination, slice, finishedSum(slice, value)));
}

#ifdef MPSVK_COOPERATIVE
void halvesStore(uint row, uint column, uvec4 results) {
    uint slice = gemmTile() * TILE_TEXELS + column / 4u;
    if (rowTexels[row] != OUTSIDE && slice < parameters.resultSlices) {
        destination_float16Pair[(rowTexels[row] + slice) >> 1] = results;
    }
}

void elementsStore(uint row, uint column, vec4 sums, vec4 next) {
    if (rowTexels[row] == OUTSIDE) {
        return;
    }
    uint slice = gemmTile() * TILE_TEXELS + column / 4u;
    if (IN_PARTS) {
        uint at = partialIndex(gemmPart(), gemmBlock() * tileRows + row, slice);
        if (slice < parameters.resultSlices) {
            partials[at] = sums;
        }
        if (slice + 1u < parameters.resultSlices) {
            partials[at + 1u] = next;
        }
    } else if (!DESTINATION_PAIRS) {
        texelStore(row, slice, sums);
        texelStore(row, slice + 1u, next);
    } else if (slice < parameters.resultSlices) {
        sums = usedLanes(parameters.destination, slice, finishedSum(slice, sums));
        next = usedLanes(parameters.destination, slice + 1u, finishedSum(slice + 1u, next));
        destination_float16Pair[(rowTexels[row] + slice) >> 1] =
            uvec4(packHalf4(sums), packHalf4(next));
    }
}
#else
void elementsStore(uint row, uint column, vec4 sums) {
    uint slice = gemmTile() * TILE_TEXELS + column / 4u;
    if (rowTexels[row] == OUTSIDE) {
        return;
    }
    if (!IN_PARTS) {
        texelStore(row, slice, sums);
    } else if (slice < parameters.resultSlices) {
        partials[partialIndex(gemmPart(), gemmBlock() * tileRows + row, slice)] = sums;
    }
}
#endif

struct Tile {
    uint firstRow;
    uvec2 first; // pixel of that row in its image
    uint firstImage;
    vec2 inverseExtent;
};

Tile tileHere() {
    uvec2 extent = pixelExtent();
    uint firstRow = gemmBlock() * tileRows;
    uint line = firstRow / extent.x;
    uint image = line / extent.y;
    return Tile(firstRow, uvec2(firstRow - line * extent.x, line - image * extent.y), image,
                1.0 / vec2(extent));
}

// The quotient of numbers below 2^20, exact for them.
uint smallQuotient(uint n, float inverse) { return uint((float(n) + 0.5) * inverse); }

Pixel pixelIn(Tile tile, uint row) {
    uvec2 extent = pixelExtent();
    uint x = tile.first.x + row;
    uint line = smallQuotient(x, tile.inverseExtent.x);
    uint y = tile.first.y + line;
    uint image = smallQuotient(y, tile.inverseExtent.y);
    return Pixel(int(x - line * extent.x), int(y - image * extent.y), tile.firstImage + image,
                 tile.firstRow + row < pixelCount());
}

void gemmRun() {
    Tile tile = tileHere();
    for (uint row = gl_LocalInvocationIndex; row < tileRows; row += gl_WorkGroupSize.x) {
        Pixel pixel = pixelIn(tile, row);
        ivec2 at = ivec2(parameters.clipX, parameters.clipY) + pixelPlace(pixel);
        rowTexels[row] = pixel.valid ? texelIndex(parameters.destination, at.x, at.y, 0u, pixel.image)
                                     : OUTSIDE;
    }
    [[unroll]] for (uint i = 0u; i < leftChunks; ++i) {
        Pixel pixel = pixelIn(tile, alongOuter(chunkOf(i), tileRows));
        ivec2 base = pixel.valid ? pixelBase(pixel) : ivec2(FAR);
        ownBases[i] = uint(base.x) & 0xffffu | uint(base.y) << 16;
        uint slice = MERGED_TAPS ? 0u : gemmFirstSlice() + alongInner(chunkOf(i), tileRows) * (CHUNK / 4u);
        ownTexels[i] = texelIndex(parameters.source, base.x, base.y, slice, pixel.image);
    }
    TapRange rangeX = tapsX();
    TapRange rangeY = tapsY();
    tapCount = uvec2(rangeX.count, rangeY.count);
    firstOffset = tapOffset(int(rangeX.first), int(rangeY.first));
    offsetStride = tapStride(rangeX.step, rangeY.step);
    uint tapChunks = parameters.tileSlices * 16u / CHUNK * TILE_TEXELS; // of weights
    weightsStride = uvec2(rangeX.step, rangeY.step * parameters.kernelWidth) * tapChunks;
    firstWeights = gemmWeights(rangeX.first, rangeY.first) * 4u / CHUNK;
    if (MERGED_TAPS) {
        tapCount.x = 1u;
        weightsStride.y = tapChunks;
        firstWeights = gemmTile() * parameters.kernelHeight * tapChunks;
    }
#ifdef MPSVK_COOPERATIVE
    mergedLanes = usedHalves(parameters.source, 0u, uvec2(0xffffffffu));
#endif
    uint stepsPerTap = (parameters.tileSlices + STEP_SLICES - 1u) / STEP_SLICES;
    uint steps = tapCount.x * tapCount.y * stepsPerTap;
    stepTap = uvec2(0u);
    stepSlice = 0u;
    if (IN_PARTS) {
        uint firstStep = gemmPart() * parameters.partSteps;
        uint tap = firstStep / stepsPerTap;
        stepTap = uvec2(tap % tapCount.x, tap / tapCount.x);
        stepSlice = (firstStep - tap * stepsPerTap) * STEP_SLICES;
        steps = min(parameters.partSteps, steps - firstStep);
    }
    findTap();
    productRun(steps);
}
