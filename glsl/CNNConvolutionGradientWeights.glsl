// dW[o][q][r][c] = sum over windows of E[o] * x[c at the tap], and db[o] = sum of E[o], as partial
// sums over parts of the pixels: a matrix product of output channels by columns of weights.
// The grid is (blocks of columns, 1, tiles * splits). The bodies are those of gemm.glsl:
//   direct: an invocation computes one column for all channels of a tile of TILE_TEXELS texels;
//   direct with MPSVK_SUBGROUP: the same, eight neighbours share the work of loading E;
//   TILED: through shared memory, an invocation computes two columns of eight channels. TILE_TEXELS
//     is even and divides the workgroup size; a block has 4 * size / TILE_TEXELS columns;
//   with MPSVK_COOPERATIVE, MPSVK_BFLOAT16 or MPSVK_BLOCKS: that of gradientWeightsTiles.glsl.
#include "CNNConvolution.h"
#include "grid.h"
#include "image.glsl"

#if defined(MPSVK_COOPERATIVE) || defined(MPSVK_BFLOAT16) || defined(MPSVK_BLOCKS)
#define MPSVK_TILES
#else
layout(local_size_x_id = 32) in;
#endif
layout(constant_id = 33) const uint TILE_TEXELS = 4u;
layout(constant_id = 36) const bool TILED = false;

layout(set = 0, binding = 0) uniform Block {
    TexelGrid grid; // of the windows
    CNNConvolutionWeightsParameters parameters;
};
IMAGE_SOURCE(1, gradient)
IMAGE_SOURCE(2, source)
layout(set = 0, binding = 3, std430) writeonly buffer Partials {
    vec4 partials[];
};

struct Window {
    int x;
    int y;
    uint image;
};

struct Column {
    int x; // of its tap in the first window
    int y;
    uint slice;
    bool bias;
    bool valid; // a tap's
};

uint columnCount() {
    return parameters.kernelWidth * parameters.kernelHeight * parameters.tileSlices + 1u;
}

uint gemmTile() {
    return gl_WorkGroupID.z % parameters.tiles;
}

uint gemmSplit() {
    return gl_WorkGroupID.z / parameters.tiles;
}

uint firstWindowOfSplit() {
    return gemmSplit() * parameters.splitPixels;
}

uint endWindowOfSplit() {
    uint all = parameters.images * parameters.gradient.height * parameters.gradient.width;
    return min(firstWindowOfSplit() + parameters.splitPixels, all);
}

Window windowAt(uint index) {
    uint line = quotient(index, grid.widthFactor, grid.shifts >> 8 & 255u);
    uint image = quotient(line, grid.heightFactor, grid.shifts >> 16 & 255u);
    return Window(int(index - line * grid.width), int(line - image * grid.height), image);
}

Window nextWindow(Window w) {
    w.x += 1;
    bool wrapped = w.x == int(grid.width);
    w.x = wrapped ? 0 : w.x;
    w.y += wrapped ? 1 : 0;
    wrapped = w.y == int(grid.height);
    w.y = wrapped ? 0 : w.y;
    w.image += wrapped ? 1u : 0u;
    return w;
}

Column columnAt(uint index) {
    uint first = tileFirstSlice(gemmTile(), parameters.tileChannels, parameters.resultPerGroup,
                                parameters.reducedPerGroup);
    uint tap = index / parameters.tileSlices;
    uint q = tap / parameters.kernelWidth;
    uint r = tap - q * parameters.kernelWidth;
    // The last tile of grouped channels may need fewer texels than the others.
    uint slice = min(first + index - tap * parameters.tileSlices,
                     (parameters.source.channels - 1u) / 4u);
    return Column(parameters.originX + int(r) * parameters.dilationX,
                  parameters.originY + int(q) * parameters.dilationY, slice,
                  index == columnCount() - 1u, index < columnCount() - 1u);
}

// What the window reads for the column; `inside` is false beyond the last window.
vec4 columnLoad(Column column, Window w, bool inside) {
    if (column.bias) {
        return vec4(1.0, 0.0, 0.0, 0.0);
    }
    int x = column.x + w.x * parameters.strideX;
    int y = column.y + w.y * parameters.strideY;
    int nearestX = clampIndex(x, int(parameters.source.width));
    int nearestY = clampIndex(y, int(parameters.source.height));
    bool valid = parameters.clampEdges != 0u || (x == nearestX && y == nearestY);
    if (!valid || !inside || !column.valid) {
        return vec4(0.0);
    }
    return source_load(parameters.source, nearestX, nearestY, column.slice, w.image);
}

// `texel` counts within the tile.
vec4 gradientLoad(Window w, uint texel, bool inside) {
    uint slice = gemmTile() * TILE_TEXELS + texel;
    if (!inside || slice * 4u >= parameters.gradient.channels) {
        return vec4(0.0);
    }
    return gradient_load(parameters.gradient, w.x, w.y, slice, w.image);
}

void partialStore(uint channel, uint column, vec4 value) {
    if (column < columnCount()) {
        uint row = gl_WorkGroupID.z * parameters.tileChannels + channel;
        partials[row * columnCount() + column] = value;
    }
}

// gl_WorkGroupID.z = split * tiles + tile.

#ifdef MPSVK_TILES
#include "gradientWeightsTiles.glsl"
#else

const uint STEP_WINDOWS = 4u;
const uint STEP_SHARES = (STEP_WINDOWS * TILE_TEXELS + 7u) / 8u;

#define GEMM_MULTIPLY(window, texel, y) \
    [[unroll]] for (uint c = 0u; c < 4u; ++c) { \
        sums[(texel) * 4u + c] = fma(x[window], vec4(y[c]), sums[(texel) * 4u + c]); \
    }
#define GEMM_STEP(lane) \
    if (j * 8u + lane < STEP_WINDOWS * TILE_TEXELS) { \
        vec4 y = subgroupBroadcast(shares[j], lane); \
        GEMM_MULTIPLY((j * 8u + lane) / TILE_TEXELS, (j * 8u + lane) % TILE_TEXELS, y) \
    }

void gemmDirect() {
    uint index = gl_WorkGroupID.x * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
    Column column = columnAt(index);
    vec4 sums[4u * TILE_TEXELS];
    [[unroll]] for (uint m = 0u; m < 4u * TILE_TEXELS; ++m) {
        sums[m] = vec4(0.0);
    }
    uint end = endWindowOfSplit();
    Window next = windowAt(firstWindowOfSplit());
    for (uint k = firstWindowOfSplit(); k < end; k += STEP_WINDOWS) {
        Window windows[STEP_WINDOWS];
        vec4 x[STEP_WINDOWS];
        [[unroll]] for (uint i = 0u; i < STEP_WINDOWS; ++i) {
            windows[i] = next;
            x[i] = columnLoad(column, next, k + i < end);
            next = nextWindow(next);
        }
#ifdef MPSVK_SUBGROUP
        vec4 shares[STEP_SHARES];
        [[unroll]] for (uint j = 0u; j < STEP_SHARES; ++j) {
            uint share = j * 8u + (gl_SubgroupInvocationID & 7u);
            uint i = min(share / TILE_TEXELS, STEP_WINDOWS - 1u);
            Window w = windows[0];
            [[unroll]] for (uint l = 1u; l < STEP_WINDOWS; ++l) {
                w.x = i == l ? windows[l].x : w.x;
                w.y = i == l ? windows[l].y : w.y;
                w.image = i == l ? windows[l].image : w.image;
            }
            shares[j] = gradientLoad(w, share % TILE_TEXELS, k + i < end);
        }
        [[unroll]] for (uint j = 0u; j < STEP_SHARES; ++j) {
            GEMM_STEP(0u) GEMM_STEP(1u) GEMM_STEP(2u) GEMM_STEP(3u)
            GEMM_STEP(4u) GEMM_STEP(5u) GEMM_STEP(6u) GEMM_STEP(7u)
        }
#else
        [[unroll]] for (uint i = 0u; i < STEP_WINDOWS; ++i) {
            [[unroll]] for (uint t = 0u; t < TILE_TEXELS; ++t) {
                vec4 y = gradientLoad(windows[i], t, k + i < end);
                GEMM_MULTIPLY(i, t, y)
            }
        }
#endif
    }
    // Compiling one store for each sum would take longer than compiling the multiplication.
    [[dont_unroll]] for (uint e = 0u; e < 4u * TILE_TEXELS; ++e) {
        vec4 value = sums[0];
        [[unroll]] for (uint m = 1u; m < 4u * TILE_TEXELS; ++m) {
            value = e == m ? sums[m] : value;
        }
        partialStore(e, index, value);
    }
}

#ifndef MPSVK_SUBGROUP
const uint TILED_WINDOWS = 16u; // per step
const uint TILE_ROWS = (TILE_TEXELS + 1u) / 2u; // invocations along the channels, 8 for each
const uint TILE_LANES = gl_WorkGroupSize.x / TILE_ROWS;
const uint TILE_COLUMNS = 2u * TILE_LANES;
const uint SIZE = gl_WorkGroupSize.x;
const uint SOURCE_LOADS = (TILED_WINDOWS * TILE_COLUMNS + SIZE - 1u) / SIZE;
const uint GRADIENT_LOADS = (TILED_WINDOWS * TILE_TEXELS + SIZE - 1u) / SIZE;

shared vec4 stepSource[TILED_WINDOWS * TILE_COLUMNS];
shared vec4 stepGradient[TILED_WINDOWS * TILE_TEXELS];

void gemmTiled() {
    uint thread = gl_LocalInvocationID.x;
    uint row = thread / TILE_LANES;
    uint lane = thread % TILE_LANES;
    uint firstColumn = gl_WorkGroupID.x * TILE_COLUMNS;
    uint first = firstWindowOfSplit();
    uint end = endWindowOfSplit();

    Column columns[SOURCE_LOADS];
    [[unroll]] for (uint i = 0u; i < SOURCE_LOADS; ++i) {
        uint e = thread + i * SIZE;
        columns[i] = columnAt(firstColumn + e % TILE_COLUMNS);
    }
    vec4 sums[8][2];
    [[unroll]] for (uint m = 0u; m < 8u; ++m) {
        sums[m][0] = vec4(0.0);
        sums[m][1] = vec4(0.0);
    }

    vec4 nextSource[SOURCE_LOADS];
    vec4 nextGradient[GRADIENT_LOADS];
    // The first round only loads, the last one only multiplies.
    for (uint k = first; k < end + TILED_WINDOWS; k += TILED_WINDOWS) {
        if (k < end) {
            [[unroll]] for (uint i = 0u; i < SOURCE_LOADS; ++i) {
                uint window = k + (thread + i * SIZE) / TILE_COLUMNS;
                nextSource[i] = columnLoad(columns[i], windowAt(window), window < end);
            }
            [[unroll]] for (uint i = 0u; i < GRADIENT_LOADS; ++i) {
                uint e = thread + i * SIZE;
                uint window = k + e / TILE_TEXELS;
                nextGradient[i] = gradientLoad(windowAt(window), e % TILE_TEXELS, window < end);
            }
        }
        if (k > first) {
            [[unroll]] for (uint w = 0u; w < TILED_WINDOWS; ++w) {
                vec4 left = stepSource[w * TILE_COLUMNS + lane];
                vec4 right = stepSource[w * TILE_COLUMNS + lane + TILE_LANES];
                [[unroll]] for (uint t = 0u; t < 2u; ++t) {
                    vec4 y = stepGradient[w * TILE_TEXELS + (row + t * TILE_ROWS) % TILE_TEXELS];
                    [[unroll]] for (uint c = 0u; c < 4u; ++c) {
                        sums[t * 4u + c][0] = fma(vec4(y[c]), left, sums[t * 4u + c][0]);
                        sums[t * 4u + c][1] = fma(vec4(y[c]), right, sums[t * 4u + c][1]);
                    }
                }
            }
        }
        barrier();
        if (k < end) {
            [[unroll]] for (uint i = 0u; i < SOURCE_LOADS; ++i) {
                uint e = thread + i * SIZE;
                if (e < TILED_WINDOWS * TILE_COLUMNS) {
                    stepSource[e] = nextSource[i];
                }
            }
            [[unroll]] for (uint i = 0u; i < GRADIENT_LOADS; ++i) {
                uint e = thread + i * SIZE;
                if (e < TILED_WINDOWS * TILE_TEXELS) {
                    stepGradient[e] = nextGradient[i];
                }
            }
        }
        barrier();
    }

    [[unroll]] for (uint m = 0u; m < 8u; ++m) {
        uint channel = (row + m / 4u * TILE_ROWS) * 4u + m % 4u;
        partialStore(channel, firstColumn + lane, sums[m][0]);
        partialStore(channel, firstColumn + lane + TILE_LANES, sums[m][1]);
    }
}
#endif

#endif // MPSVK_TILES

void main() {
#ifdef MPSVK_TILES
    gemmTiles();
#else
#ifndef MPSVK_SUBGROUP
    if (TILED) {
        gemmTiled();
        return;
    }
#endif
    gemmDirect();
#endif
}
