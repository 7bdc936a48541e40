// dW[o][q][r][c] = sum over windows of E[o] * x[c at the tap], and db[o] = sum of E[o], as partial
// sums over parts of the pixels: a matrix product of output channels by columns of weights.
// The grid is (blocks of columns, 1, tiles * splits). The bodies are those of gemm.glsl:
//   direct: an invocation computes one column for all channels of a tile of TILE_TEXELS texels;
//   direct with MPSVK_SUBGROUP: the same, eight neighbours share the work of loading E;
//   TILED: through shared memory, an invocation computes two columns of eight channels. TILE_TEXELS
//     is even and divides the workgroup size; a block has 4 * size / TILE_TEXELS columns;
//   with MPSVK_COOPERATIVE: cooperative matrices, for fp16 in buffers.
#include "CNNConvolution.h"
#include "grid.h"
#include "image.glsl"

#ifndef MPSVK_COOPERATIVE
layout(local_size_x_id = 32) in;
#endif
layout(constant_id = 33) const uint TILE_TEXELS = 4u;
layout(constant_id = 36) const bool TILED = false;
// Cooperative: pixels of the source are whole chunks of eight channels.
layout(constant_id = 38) const bool WHOLE_CHUNKS = true;

layout(set = 0, binding = 0) uniform Block {
#ifdef MPSVK_COOPERATIVE
    TexelGrid grid; // of the windows
#endif
    CNNConvolutionWeightsParameters parameters;
};
IMAGE_SOURCE(1, gradient)
IMAGE_SOURCE(2, source)
layout(set = 0, binding = 3, std430) writeonly buffer Partials {
    vec4 partials[];
};

#ifdef MPSVK_COOPERATIVE
layout(set = 0, binding = 4, std430) buffer WeightsGradient {
    vec4 weightsGradient[];
};
#endif

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
    uint slice = min(first + index - tap * parameters.tileSlices,
                     (parameters.source.channels - 1u) / 4u);
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

#ifdef MPSVK_COOPERATIVE
const bool leftAlong = false;
const bool rightAlong = false;
#include "cooperative.glsl"

// The windows of the gradient lie together from image to image.
layout(constant_id = 46) const bool DENSE_WINDOWS = false;

uint stepWindow;
Column chunkColumns[2];
uint chunkTexels[2]; // from a window's texel to the column's
// Of the invocation's own chunks: what to read, and which are there (bit i). All of it is computed
// before the first load, since a load in a branch ends what the compiler may reorder.
uint leftTexels[leftChunks];
uint rightTexels[rightChunks];
uint leftInside;
uint rightInside;

Window gridWindow(uint index) {
    uint line = quotient(index, grid.widthFactor, grid.shifts >> 8 & 255u);
    uint image = quotient(line, grid.heightFactor, grid.shifts >> 16 & 255u);
    return Window(int(index - line * grid.width), int(line - image * grid.height), image);
}

uint leftTexel(uint index, uint slice) {
    if (DENSE_WINDOWS) {
        return parameters.gradient.offset + index * parameters.gradient.slices + slice;
    }
    Window w = gridWindow(index);
    return texelIndex(parameters.gradient, w.x, w.y, slice, w.image);
}

bool isInside(Column column, Window w) {
    uint x = uint(column.x + w.x * parameters.strideX);
    uint y = uint(column.y + w.y * parameters.strideY);
    return column.valid && x < parameters.source.width && y < parameters.source.height;
}

uint windowTexel(Window w) {
    return texelIndex(parameters.source, w.x * parameters.strideX, w.y * parameters.strideY, 0u,
                      w.image);
}

void place() {
    uint end = endWindowOfSplit();
    leftInside = 0u;
    rightInside = 0u;
    [[unroll]] for (uint i = 0u; i < leftChunks; ++i) {
        uint index = stepWindow + chunkOf(i) / (tileRows / 8u);
        uint channel = gemmTile() * tileRows + chunkOf(i) % (tileRows / 8u) * 8u;
        leftTexels[i] = leftTexel(index, channel / 4u);
        leftInside |= uint(index < end && channel < parameters.gradient.channels) << i;
    }
    [[unroll]] for (uint i = 0u; i < rightChunks; ++i) {
        uint index = stepWindow + chunkOf(i) / (tileColumns / 8u);
        Window w = gridWindow(index);
        rightTexels[i] = windowTexel(w) + chunkTexels[0];
        bool inside = isInside(chunkColumns[0], w) || chunkColumns[0].bias || !WHOLE_CHUNKS;
        rightInside |= uint(index < end && inside) << i;
    }
}

void advance() {
    stepWindow += depth;
    place();
}

uvec4 leftChunk(uint i, uint row, uint k) {
    return (leftInside >> i & 1u) != 0u ? gradient_float16Pair[leftTexels[i] >> 1] : uvec4(0u);
}

uvec2 columnHalves(uint c, Window w) {
    Column column = chunkColumns[c];
    if (column.bias) {
        return uvec2(0x3c00u, 0u); // 1
    }
    return isInside(column, w)
        ? usedHalves(parameters.source, column.slice, source_float16[windowTexel(w) + chunkTexels[c]]) : uvec2(0u);
}

uvec4 rightChunk(uint i, uint column, uint k) {
    if ((rightInside >> i & 1u) == 0u) {
        return uvec4(0u);
    }
    if (!WHOLE_CHUNKS) {
        Window w = gridWindow(stepWindow + k);
        return uvec4(columnHalves(0u, w), columnHalves(1u, w));
    }
    if (chunkColumns[0].bias) {
        return uvec4(0x3c00u, 0u, 0u, 0u); // 1
    }
    return source_float16Pair[rightTexels[i] >> 1];
}

void texelStore(uint row, uint column, vec4 value) {
    uint channel = gemmTile() * tileRows + row;
    if (parameters.inPlace == 0u) {
        partialStore(row, column, value);
    } else if (channel < parameters.outputChannels && column < columnCount() - 1u) {
        uint at = channel * (columnCount() - 1u) + column;
        weightsGradient[at] = parameters.accumulate != 0u ? weightsGradient[at] + value : value;
    }
}

void elementsStore(uint row, uint column, vec4 sums, vec4 next) {
    column = (gl_WorkGroupID.x * tileColumns + column) / 4u;
    texelStore(row, column, sums);
    texelStore(row, column + 1u, next);
}

void gemmCooperative() {
    uint texel = (gl_WorkGroupID.x * tileColumns + chunkOf(0u) % (tileColumns / 8u) * 8u) / 4u;
    [[unroll]] for (uint c = 0u; c < 2u; ++c) {
        Column column = columnAt(texel + c);
        chunkColumns[c] = column;
        chunkTexels[c] = uint(column.y * int(parameters.source.width) + column.x) *
                             parameters.source.slices + column.slice;
    }
    stepWindow = firstWindowOfSplit();
    place();
    cooperativeRun((endWindowOfSplit() - firstWindowOfSplit() + depth - 1u) / depth);
}
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

Window advanced(Window w, uint count) {
    w.x += int(count);
    if (w.x >= int(parameters.gradient.width)) {
        int lines = w.x / int(parameters.gradient.width);
        w.x -= lines * int(parameters.gradient.width);
        w.y += lines;
        if (w.y >= int(parameters.gradient.height)) {
            int images = w.y / int(parameters.gradient.height);
            w.y -= images * int(parameters.gradient.height);
            w.image += uint(images);
        }
    }
    return w;
}

void gemmTiled() {
    uint thread = gl_LocalInvocationID.x;
    uint row = thread / TILE_LANES;
    uint lane = thread % TILE_LANES;
    uint firstColumn = gl_WorkGroupID.x * TILE_COLUMNS;
    uint first = firstWindowOfSplit();
    uint end = endWindowOfSplit();

    Column columns[SOURCE_LOADS];
    Window sourceWindows[SOURCE_LOADS];
    [[unroll]] for (uint i = 0u; i < SOURCE_LOADS; ++i) {
        uint e = thread + i * SIZE;
        columns[i] = columnAt(firstColumn + e % TILE_COLUMNS);
        sourceWindows[i] = windowAt(first + e / TILE_COLUMNS);
    }
    Window gradientWindows[GRADIENT_LOADS];
    [[unroll]] for (uint i = 0u; i < GRADIENT_LOADS; ++i) {
        gradientWindows[i] = windowAt(first + (thread + i * SIZE) / TILE_TEXELS);
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
                nextSource[i] = columnLoad(columns[i], sourceWindows[i], window < end);
                sourceWindows[i] = advanced(sourceWindows[i], TILED_WINDOWS);
            }
            [[unroll]] for (uint i = 0u; i < GRADIENT_LOADS; ++i) {
                uint e = thread + i * SIZE;
                bool inside = k + e / TILE_TEXELS < end;
                nextGradient[i] = gradientLoad(gradientWindows[i], e % TILE_TEXELS, inside);
                gradientWindows[i] = advanced(gradientWindows[i], TILED_WINDOWS);
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

#endif // MPSVK_COOPERATIVE

void main() {
#ifdef MPSVK_COOPERATIVE
    gemmCooperative();
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
