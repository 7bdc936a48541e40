// Convolutions as matrix products that are never written out. The rows are the pixels of the
// result, the columns its channels in tiles of TILE_TEXELS texels; the inner dimension runs over
// the taps and over the source texels of each tap. The includer defines the functions declared
// below.
//
// The grid is (blocks of pixels, folded into y, tiles * phases), or with MPSVK_TILES
// (tiles * blocks of pixels, folded into y, phases). With IN_PARTS the inner dimension is split, and parts
// take the place of phases, of which there is one. One of these bodies runs:
//   direct: an invocation computes TILE_PIXELS pixels of the whole tile;
//   direct with MPSVK_SUBGROUP: the same, but eight neighbours share the work of loading weights,
//     for devices that spend most of their time on loads. Needs subgroups of eight or more;
//   with MPSVK_COOPERATIVE, MPSVK_BFLOAT16 or MPSVK_BLOCKS (MPSVK_TILES): that of gemmTiles.glsl;
//   with MPSVK_PARTS: the sum of parts;
//   TILED: a workgroup goes through shared memory, an invocation computes TILE_PIXELS (a multiple
//     of 4) pixels of two texels. TILE_TEXELS is 1 or even, the workgroup size a multiple of
//     TILE_TEXELS / 2 and of 4.
#include "CNNConvolution.h"
#include "image.glsl"
#include "neuron.glsl"
#include "taps.glsl"

#ifdef MPSVK_PARTS
layout(local_size_x = 64) in;
#elif defined(MPSVK_COOPERATIVE) || defined(MPSVK_BFLOAT16) || defined(MPSVK_BLOCKS)
#define MPSVK_TILES
#else
layout(local_size_x_id = 32) in;
#endif
layout(constant_id = 33) const uint TILE_TEXELS = 4u;
layout(constant_id = 34) const uint TILE_PIXELS = 4u;
layout(constant_id = 35) const uint NEURON = 0u;
layout(constant_id = 36) const bool TILED = false;
// Sums go to Partials, [part][pixel][slice], for gemmParts.glsl.
layout(constant_id = 48) const bool IN_PARTS = false;

layout(set = 0, binding = 0) uniform Block {
    CNNConvolutionParameters parameters;
};
IMAGE_SOURCE(1, source)
IMAGE_DESTINATION(2, destination)
layout(set = 0, binding = 3, std430) readonly buffer Weights {
    vec4 weights[];
};
// Biases, then for PReLU the slopes, each padded to whole tiles.
layout(set = 0, binding = 4, std430) readonly buffer Channels {
    vec4 channels[];
};
layout(set = 0, binding = 5, std430) buffer Partials {
    vec4 partials[];
};

struct Pixel {
    int x; // within the extent
    int y;
    uint image;
    bool valid;
};

// What a tap reads of a pixel: one texel, or for adjoints of clamped edges a rectangle of them.
struct Tap {
    int x;
    int y;
    int lastX;
    int lastY;
    uint image;
    bool valid;
};

#ifdef MPSVK_TILES
// Tiles of the same pixels run together: what they read is in a cache.
uint phase() {
    return IN_PARTS ? 0u : gl_WorkGroupID.z;
}

uint gemmPart() {
    return gl_WorkGroupID.z;
}

uint gemmTile() {
    return gl_WorkGroupID.x % parameters.tiles;
}

uint gemmBlock() {
    return (gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x) / parameters.tiles;
}
#else
uint phase() {
    return IN_PARTS ? 0u : gl_WorkGroupID.z / parameters.tiles;
}

uint gemmTile() {
    return gl_WorkGroupID.z % parameters.tiles;
}

uint gemmPart() {
    return gl_WorkGroupID.z / parameters.tiles;
}

uint gemmBlock() {
    return gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
}
#endif

uint pixelCount();
uvec2 pixelExtent();      // the pixels of an image
ivec2 pixelPlace(Pixel pixel); // in the clip rectangle
TapRange tapsX(); // that this workgroup needs
TapRange tapsY();
// A tap reads at the sum of both, but for clamped edges.
ivec2 pixelBase(Pixel pixel);
ivec2 tapOffset(int r, int q);
ivec2 tapStride(uint stepX, uint stepY); // from the offset of a tap to that of one so much further
Tap tapAt(Pixel pixel, int r, int q);
vec4 tapLoad(Tap tap, uint slice); // tap.valid holds
void pixelStore(Pixel pixel, uint slice, vec4 value);

// Index of the weights of a tap of this workgroup's tile.
uint gemmWeights(uint r, uint q) {
    uint tap = (gemmTile() * parameters.kernelHeight + q) * parameters.kernelWidth + r;
    return tap * parameters.tileSlices * 4u * TILE_TEXELS;
}

uint gemmFirstSlice() {
    return tileFirstSlice(gemmTile(), 4u * TILE_TEXELS, parameters.resultPerGroup,
                          parameters.reducedPerGroup);
}

Pixel gemmPixel(uint row, uint rows) {
    uvec2 extent = pixelExtent();
    uint within = min(row, rows - 1u);
    uint line = within / extent.x;
    uint image = line / extent.y;
    return Pixel(int(within - line * extent.x), int(line - image * extent.y), image, row < rows);
}

vec4 gemmLoad(Tap tap, uint slice) {
    // The last tile of grouped channels may need fewer texels than the others.
    slice = min(slice, (parameters.source.channels - 1u) / 4u);
    return tap.valid ? tapLoad(tap, slice) : vec4(0.0);
}

#include "finishedSum.glsl"

uint partialIndex(uint part, uint row, uint slice) {
    return (part * pixelCount() + row) * parameters.resultSlices + slice;
}

// `texel` counts within the tile.
void gemmStore(Pixel pixel, uint texel, vec4 value) {
    uint slice = gemmTile() * TILE_TEXELS + texel;
    if (pixel.valid && slice < parameters.resultSlices) {
        pixelStore(pixel, slice, finishedSum(slice, value));
    }
}

#if defined(MPSVK_TILES)
#include "gemmTiles.glsl"
#elif defined(MPSVK_PARTS)
#include "gemmParts.glsl"
#else

#define GEMM_STEP(lane) \
    if (j + lane < 4u * TILE_TEXELS) { \
        vec4 y = subgroupBroadcast(shares[j / 8u], lane); \
        GEMM_MULTIPLY((j + lane) / TILE_TEXELS, (j + lane) % TILE_TEXELS) \
    }
#define GEMM_MULTIPLY(k, n) \
    [[unroll]] for (uint i = 0u; i < TILE_PIXELS; ++i) { \
        sums[i][n] = fma(vec4(x[i][k]), y, sums[i][n]); \
    }

void gemmDirect() {
    uint rows = pixelCount();
    uint row = gemmBlock() * gl_WorkGroupSize.x * TILE_PIXELS + gl_LocalInvocationID.x;
    Pixel pixels[TILE_PIXELS];
    vec4 sums[TILE_PIXELS][TILE_TEXELS];
    [[unroll]] for (uint i = 0u; i < TILE_PIXELS; ++i) {
        pixels[i] = gemmPixel(row + i * gl_WorkGroupSize.x, rows);
        [[unroll]] for (uint n = 0u; n < TILE_TEXELS; ++n) {
            sums[i][n] = vec4(0.0);
        }
    }

    TapRange rangeX = tapsX();
    TapRange rangeY = tapsY();
    uint firstSlice = gemmFirstSlice();
    for (uint tapY = 0u; tapY < rangeY.count; ++tapY) {
        for (uint tapX = 0u; tapX < rangeX.count; ++tapX) {
            uint r = rangeX.first + tapX * rangeX.step;
            uint q = rangeY.first + tapY * rangeY.step;
            Tap taps[TILE_PIXELS];
            [[unroll]] for (uint i = 0u; i < TILE_PIXELS; ++i) {
                taps[i] = tapAt(pixels[i], int(r), int(q));
            }
            uint w = gemmWeights(r, q);
            for (uint slice = 0u; slice < parameters.tileSlices; ++slice) {
                vec4 x[TILE_PIXELS];
                [[unroll]] for (uint i = 0u; i < TILE_PIXELS; ++i) {
                    x[i] = gemmLoad(taps[i], firstSlice + slice);
                }
#ifdef MPSVK_SUBGROUP
                vec4 shares[(4u * TILE_TEXELS + 7u) / 8u];
                uint share = gl_SubgroupInvocationID & min(7u, 4u * TILE_TEXELS - 1u);
                [[unroll]] for (uint j = 0u; j < 4u * TILE_TEXELS; j += 8u) {
                    shares[j / 8u] = weights[w + j + share];
                }
                [[unroll]] for (uint j = 0u; j < 4u * TILE_TEXELS; j += 8u) {
                    GEMM_STEP(0u) GEMM_STEP(1u) GEMM_STEP(2u) GEMM_STEP(3u)
                    GEMM_STEP(4u) GEMM_STEP(5u) GEMM_STEP(6u) GEMM_STEP(7u)
                }
#else
                [[unroll]] for (uint k = 0u; k < 4u; ++k) {
                    [[unroll]] for (uint n = 0u; n < TILE_TEXELS; ++n) {
                        vec4 y = weights[w + k * TILE_TEXELS + n];
                        GEMM_MULTIPLY(k, n)
                    }
                }
#endif
                w += 4u * TILE_TEXELS;
            }
        }
    }

    // Compiling one store for each sum would take longer than compiling the multiplication.
    [[dont_unroll]] for (uint e = 0u; e < TILE_PIXELS * TILE_TEXELS; ++e) {
        vec4 value = sums[0][0];
        [[unroll]] for (uint i = 0u; i < TILE_PIXELS; ++i) {
            [[unroll]] for (uint n = 0u; n < TILE_TEXELS; ++n) {
                value = e == i * TILE_TEXELS + n ? sums[i][n] : value;
            }
        }
        uint i = e / TILE_TEXELS;
        gemmStore(gemmPixel(row + i * gl_WorkGroupSize.x, rows), e - i * TILE_TEXELS, value);
    }
}

#ifndef MPSVK_SUBGROUP
const uint STEP_TEXELS = 4u; // source texels per step
const uint TILE_COLUMNS = (TILE_TEXELS + 1u) / 2u;
const uint TILE_LANES = gl_WorkGroupSize.x / TILE_COLUMNS;
const uint TILE_QUADS = TILE_LANES * TILE_PIXELS / 4u;
const uint SOURCE_LANES = gl_WorkGroupSize.x / STEP_TEXELS;
const uint SOURCE_LOADS = (TILE_QUADS * 4u + SOURCE_LANES - 1u) / SOURCE_LANES;
const uint STEP_WEIGHTS = STEP_TEXELS * 4u * TILE_TEXELS;
const uint WEIGHT_LOADS = (STEP_WEIGHTS + gl_WorkGroupSize.x - 1u) / gl_WorkGroupSize.x;

// One row per channel of the step. The padding keeps stores of a texel's channels apart.
const uint QUAD_STRIDE = TILE_QUADS + 1u;
shared vec4 stepQuads[STEP_TEXELS * 4u * QUAD_STRIDE]; // of four pixels each
shared vec4 stepWeights[STEP_WEIGHTS];

void gemmStoreSum(uint row, uint rows, uint texel, vec4 sum) {
    uint slice = gemmTile() * TILE_TEXELS + texel;
    if (!IN_PARTS) {
        gemmStore(gemmPixel(row, rows), texel, sum);
    } else if (row < rows && slice < parameters.resultSlices) {
        partials[partialIndex(gemmPart(), row, slice)] = sum;
    }
}

void gemmTiled() {
    uint thread = gl_LocalInvocationID.x;
    uint column = thread % TILE_COLUMNS;
    uint lane = thread / TILE_COLUMNS;
    uint rows = pixelCount();
    uint firstRow = gemmBlock() * TILE_QUADS * 4u;
    TapRange rangeX = tapsX();
    TapRange rangeY = tapsY();
    uint firstSlice = gemmFirstSlice();
    uint total = rangeX.count * rangeY.count * parameters.tileSlices;
    uint first = 0u;
    if (IN_PARTS) {
        first = gemmPart() * parameters.partSteps * STEP_TEXELS;
        total = min(total, first + parameters.partSteps * STEP_TEXELS);
    }

    Pixel pixels[SOURCE_LOADS];
    [[unroll]] for (uint i = 0u; i < SOURCE_LOADS; ++i) {
        pixels[i] = gemmPixel(firstRow + thread / STEP_TEXELS + i * SOURCE_LANES, rows);
    }
    vec4 sums[TILE_PIXELS][2];
    [[unroll]] for (uint i = 0u; i < TILE_PIXELS; ++i) {
        sums[i][0] = vec4(0.0);
        sums[i][1] = vec4(0.0);
    }

    vec4 nextSource[SOURCE_LOADS];
    vec4 nextWeights[WEIGHT_LOADS];
    // The first round only loads, the last one only multiplies.
    for (uint step = first; step < total + STEP_TEXELS; step += STEP_TEXELS) {
        if (step < total) {
            uint at = step + thread % STEP_TEXELS;
            uint tap = at / parameters.tileSlices;
            uint slice = at - tap * parameters.tileSlices;
            uint r = rangeX.first + tap % max(rangeX.count, 1u) * rangeX.step;
            uint q = rangeY.first + tap / max(rangeX.count, 1u) * rangeY.step;
            [[unroll]] for (uint i = 0u; i < SOURCE_LOADS; ++i) {
                Tap texel = tapAt(pixels[i], int(r), int(q));
                texel.valid = texel.valid && at < total;
                nextSource[i] = gemmLoad(texel, firstSlice + slice);
            }
            [[unroll]] for (uint i = 0u; i < WEIGHT_LOADS; ++i) {
                uint e = thread + i * gl_WorkGroupSize.x;
                at = step + e / (4u * TILE_TEXELS);
                tap = at / parameters.tileSlices;
                slice = at - tap * parameters.tileSlices;
                r = rangeX.first + tap % max(rangeX.count, 1u) * rangeX.step;
                q = rangeY.first + tap / max(rangeX.count, 1u) * rangeY.step;
                uint w = gemmWeights(r, q) + slice * 4u * TILE_TEXELS + e % (4u * TILE_TEXELS);
                nextWeights[i] = at < total ? weights[w] : vec4(0.0);
            }
        }
        if (step > first) {
            [[unroll]] for (uint k = 0u; k < STEP_TEXELS * 4u; ++k) {
                vec4 left = stepWeights[k * TILE_TEXELS + column];
                vec4 right = stepWeights[k * TILE_TEXELS + (column + TILE_COLUMNS) % TILE_TEXELS];
                [[unroll]] for (uint i = 0u; i < TILE_PIXELS; i += 4u) {
                    vec4 x = stepQuads[k * QUAD_STRIDE + lane + i / 4u * TILE_LANES];
                    [[unroll]] for (uint c = 0u; c < min(4u, TILE_PIXELS - i); ++c) {
                        sums[i + c][0] = fma(vec4(x[c]), left, sums[i + c][0]);
                        sums[i + c][1] = fma(vec4(x[c]), right, sums[i + c][1]);
                    }
                }
            }
        }
        barrier();
        if (step < total) {
            [[unroll]] for (uint i = 0u; i < SOURCE_LOADS; ++i) {
                uint row = thread / STEP_TEXELS + i * SOURCE_LANES;
                uint k = thread % STEP_TEXELS * 4u;
                [[unroll]] for (uint c = 0u; c < 4u; ++c) {
                    stepQuads[(k + c) * QUAD_STRIDE + row / 4u][row % 4u] = nextSource[i][c];
                }
            }
            [[unroll]] for (uint i = 0u; i < WEIGHT_LOADS; ++i) {
                if (thread + i * gl_WorkGroupSize.x < STEP_WEIGHTS) {
                    stepWeights[thread + i * gl_WorkGroupSize.x] = nextWeights[i];
                }
            }
        }
        barrier();
    }

    [[unroll]] for (uint i = 0u; i < TILE_PIXELS; ++i) {
        uint quad = lane + i / 4u * TILE_LANES;
        uint row = firstRow + quad * 4u + i % 4u;
        gemmStoreSum(row, rows, column, sums[i][0]);
        if (TILE_TEXELS > 1u) {
            gemmStoreSum(row, rows, column + TILE_COLUMNS, sums[i][1]);
        }
    }
}
#endif

void gemmRun() {
#ifndef MPSVK_SUBGROUP
    if (TILED) {
        gemmTiled();
        return;
    }
#endif
    gemmDirect();
}
#endif
