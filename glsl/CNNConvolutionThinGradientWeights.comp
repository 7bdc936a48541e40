// Partial sums over parts of the windows of dW[o][q][r][c] = sum of E[o] * x[c at the tap] and of db[o]
// = sum of E[o], for images of CHANNELS channels, four at most: only these are multiplied. They are
// texels of output channels at (part * (weights + 1) + weight) * texels + texel, where a weight is
// (q * kernelWidth + r) * CHANNELS + c; the last one is the bias.
//
// An invocation has a column: a texel of output channels, ROWS rows of taps and TAPS taps of each. It
// loads PIXELS neighbouring windows at once and what their taps read, SPAN pixels of each row. The
// grid is (blocks of COLUMNS columns, 1, parts). The rows of COLUMNS of a workgroup take turns with
// the blocks of windows of a part; the upper half of them hands over its sums to the lower one, until
// one row has all.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "CNNConvolution.h"
layout(local_size_x_id = 32) in;
#include "pixel.glsl"
#include "groupedTexel.glsl"

layout(constant_id = 33) const int PIXELS = 4;
layout(constant_id = 34) const int TAPS = 5;
layout(constant_id = 35) const int ROWS = 5;
layout(constant_id = 36) const int STRIDE = 1;
layout(constant_id = 37) const int CHANNELS = 1;
layout(constant_id = 38) const int DILATION = 1;
layout(constant_id = 39) const uint COLUMNS = 8u;
layout(constant_id = 41) const int SPAN = 8;
layout(set = 0, binding = 0) uniform Block {
    TexelGrid grid; // of blocks of windows
    CNNConvolutionWeightsParameters parameters;
};
IMAGE_SOURCE(1, gradient)
IMAGE_SOURCE(2, source)
layout(set = 0, binding = 3, std430) writeonly buffer Partials {
    vec4 partials[];
};

const int SUMS = ROWS * TAPS * CHANNELS;
const uint TURNS = gl_WorkGroupSize.x / COLUMNS;
const uint HALF = TURNS / 2u * COLUMNS; // invocations that hand over their sums at once

shared vec4 handedOver[HALF * uint(SUMS + 1) + 1u];

void main() {
    uint thread = gl_LocalInvocationID.x;
    uint turn = thread / COLUMNS;
    uint column = gl_WorkGroupID.x * COLUMNS + thread - turn * COLUMNS;
    uint rest = column / parameters.tiles;
    uint tile = column - rest * parameters.tiles;
    uint runs = (parameters.kernelWidth + uint(TAPS) - 1u) / uint(TAPS);
    uint firstRow = rest / runs * uint(ROWS);
    uint firstTap = rest % runs * uint(TAPS);
    bool isColumn = firstRow < parameters.kernelHeight;
    ImageView gradientView = texelView(parameters.gradient, tile);
    ImageView sourceView = texelView(parameters.source, 0u);
    int originX = parameters.originX + int(firstTap) * DILATION;
    int originY = parameters.originY + int(firstRow) * parameters.dilationY;
    int windows = int(parameters.gradient.width);
    int width = int(parameters.source.width);
    int height = int(parameters.source.height);

    vec4 sums[SUMS + 1]; // the last one is the bias
    [[unroll]] for (int n = 0; n <= SUMS; ++n) {
        sums[n] = vec4(0.0);
    }
    uint begin = gl_WorkGroupID.z * parameters.splitPixels;
    uint end = isColumn ? min(begin + parameters.splitPixels, texelCount(grid)) : 0u;
    for (uint block = begin + turn; block < end; block += TURNS) {
        Place at = placeOf(grid, block);
        // A last block that would not be full begins earlier; its first windows are counted already
        // and multiplied by 0, so that what is infinite there gives NaN.
        int x = min(at.x * PIXELS, windows - PIXELS);
        int counted = at.x * PIXELS - x;
        int u = x * STRIDE + originX;
        int v = at.y * parameters.strideY + originY;
        vec4 e[PIXELS];
        [[unroll]] for (int p = 0; p < PIXELS; ++p) {
            e[p] = gradient_load(gradientView, x + p, at.y, 0u, at.image);
        }
        if (counted > 0) {
            [[unroll]] for (int p = 0; p < PIXELS; ++p) {
                e[p] = p < counted ? vec4(0.0) : e[p];
            }
        }
        vec4 values[ROWS * SPAN];
        [[unroll]] for (int k = 0; k < ROWS; ++k) {
            int row = clampIndex(v + k * parameters.dilationY, height);
            [[unroll]] for (int i = 0; i < SPAN; ++i) {
                values[k * SPAN + i] =
                    source_load(sourceView, clampIndex(u + i, width), row, 0u, at.image);
            }
        }
        int bottom = v + (ROWS - 1) * parameters.dilationY;
        if (parameters.clampEdges == 0u &&
            (u < 0 || u + SPAN > width || v < 0 || bottom >= height)) {
            [[unroll]] for (int k = 0; k < ROWS; ++k) {
                int row = v + k * parameters.dilationY;
                bool isRow = row >= 0 && row < height;
                [[unroll]] for (int i = 0; i < SPAN; ++i) {
                    bool isInside = isRow && u + i >= 0 && u + i < width;
                    values[k * SPAN + i] = isInside ? values[k * SPAN + i] : vec4(0.0);
                }
            }
        }
        [[unroll]] for (int p = 0; p < PIXELS; ++p) {
            sums[SUMS] += e[p];
            [[unroll]] for (int k = 0; k < ROWS; ++k) {
                [[unroll]] for (int r = 0; r < TAPS; ++r) {
                    vec4 value = values[k * SPAN + p * STRIDE + r * DILATION];
                    int n = (k * TAPS + r) * CHANNELS;
                    [[unroll]] for (int c = 0; c < CHANNELS; ++c) {
                        sums[n + c] = fma(e[p], vec4(value[c]), sums[n + c]);
                    }
                }
            }
        }
    }

    for (uint count = TURNS; count > 1u;) {
        uint kept = (count + 1u) / 2u;
        barrier();
        if (turn >= kept && turn < count) {
            [[unroll]] for (int n = 0; n <= SUMS; ++n) {
                handedOver[uint(n) * HALF + thread - kept * COLUMNS] = sums[n];
            }
        }
        barrier();
        if (turn + kept < count) {
            [[unroll]] for (int n = 0; n <= SUMS; ++n) {
                sums[n] += handedOver[uint(n) * HALF + thread];
            }
        }
        count = kept;
    }
    if (!isColumn || turn > 0u) {
        return;
    }
    uint rows = parameters.kernelHeight;
    uint weights = parameters.kernelWidth * rows * uint(CHANNELS);
    uint place = gl_WorkGroupID.z * (weights + 1u) * parameters.tiles + tile;
    [[unroll]] for (int n = 0; n < SUMS; ++n) {
        uint row = firstRow + uint(n / (TAPS * CHANNELS));
        uint tap = firstTap + uint(n / CHANNELS % TAPS);
        uint weight = (row * parameters.kernelWidth + tap) * uint(CHANNELS) + uint(n % CHANNELS);
        if (row < rows && tap < parameters.kernelWidth) {
            partials[place + weight * parameters.tiles] = sums[n];
        }
    }
    if (firstRow == 0u && firstTap == 0u) {
        partials[place + weights * parameters.tiles] = sums[SUMS];
    }
}
