// dW[o][q][r][c] = sum over windows of E[o] * x[c at the tap], and db[o] = sum of E[o], as partial
// sums over parts of the pixels: a matrix product of output channels by columns of weights.
// The grid is (blocks of columns, 1, tiles * splits). The bodies are those of gemm.glsl:
//   direct: an invocation computes one column for all channels of a tile of TILE_TEXELS texels;
//   direct with MPSVK_SUBGROUP: the same, eight neighbours share the work of loading E;
//   TILED: through shared memory, TILE_COLUMNS columns per workgroup.
#include "CNNConvolution.h"
#include "image.glsl"

layout(local_size_x_id = 32) in;
layout(constant_id = 33) const uint TILE_TEXELS = 4u;
layout(constant_id = 36) const bool TILED = false;

layout(set = 0, binding = 0) uniform Block {
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
    bool valid;
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
    uint line = index / parameters.gradient.width;
    uint image = line / parameters.gradient.height;
    return Window(int(index - line * parameters.gradient.width),
                  int(line - image * parameters.gradient.height), image);
}

Window nextWindow(Window w) {
    w.x += 1;
    bool wrapped = w.x == int(parameters.gradient.width);
    w.x = wrapped ? 0 : w.x;
    w.y += wrapped ? 1 : 0;
    wrapped = w.y == int(parameters.gradient.height);
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
    uint slice = min(first + index - tap * parameters.tileSlices, (parameters.source.channels - 1u) / 4u);
    return Column(parameters.originX + int(r) * parameters.dilationX,
                  parameters.originY + int(q) * parameters.dilationY, slice,
                  index == columnCount() - 1u, index < columnCount());
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

void main() {
    gemmDirect();
}
