// The partial sums of CNNConvolutionGradientWeights, with tiles of one texel, for groups of few
// channels. An invocation has a column: a texel of output channels, one of input channels and up to
// TAPS taps of a row, 16 sums each. It loads PIXELS neighbouring windows at once and what their
// taps read, SPAN pixels. The grid is (blocks of COLUMNS columns, 1, parts). The rows of COLUMNS of
// a workgroup take turns with the blocks of windows of a part; their sums are added up in order.
// DIAGONAL: each channel is a group of its own; the partial sums are those of
// CNNConvolutionDepthwiseGradientWeights.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "CNNConvolution.h"
#include "pixel.glsl"
#include "groupedTexel.glsl"

layout(local_size_x_id = 32) in;
layout(constant_id = 33) const int PIXELS = 4;
layout(constant_id = 34) const int TAPS = 3;
layout(constant_id = 36) const int STRIDE = 1;
layout(constant_id = 38) const int DILATION = 1;
layout(constant_id = 39) const uint COLUMNS = 32u;
layout(constant_id = 41) const int SPAN = 6;
layout(constant_id = 43) const bool DIAGONAL = false;
layout(set = 0, binding = 0) uniform Block {
    TexelGrid grid; // of blocks of windows
    CNNConvolutionWeightsParameters parameters;
};
IMAGE_SOURCE(1, gradient)
IMAGE_SOURCE(2, source)
layout(set = 0, binding = 3, std430) writeonly buffer Partials {
    vec4 partials[];
};

const int SUMS = DIAGONAL ? 1 : 4; // texels of them, for a tap

shared vec4 turns[gl_WorkGroupSize.x];

// The sum over the rows of the workgroup, for the first of them.
vec4 sumOfTurns(vec4 value) {
    uint thread = gl_LocalInvocationID.x;
    if (gl_WorkGroupSize.x == COLUMNS) {
        return value;
    }
    turns[thread] = value;
    barrier();
    for (uint other = thread + COLUMNS; other < gl_WorkGroupSize.x; other += COLUMNS) {
        value += turns[other];
    }
    barrier();
    return value;
}

void main() {
    uint lane = gl_LocalInvocationID.x % COLUMNS;
    uint turn = gl_LocalInvocationID.x / COLUMNS;
    uint column = gl_WorkGroupID.x * COLUMNS + lane;
    uint rest = column / parameters.tiles;
    uint tile = column - rest * parameters.tiles;
    uint s = rest % parameters.tileSlices;
    rest /= parameters.tileSlices;
    uint runs = (parameters.kernelWidth + uint(TAPS) - 1u) / uint(TAPS);
    uint q = rest / runs;
    uint firstTap = (rest - q * runs) * uint(TAPS);
    bool isColumn = q < parameters.kernelHeight;
    ImageView gradientView = texelView(parameters.gradient, tile);
    ImageView sourceView = texelView(
        parameters.source, DIAGONAL ? tile
                                    : s + tileFirstSlice(tile, 4u, parameters.resultPerGroup,
                                                         parameters.reducedPerGroup));
    int originX = parameters.originX + int(firstTap) * DILATION;
    int originY = parameters.originY + int(q) * parameters.dilationY;
    int windows = int(parameters.gradient.width);
    int width = int(parameters.source.width);
    int height = int(parameters.source.height);

    vec4 bias = vec4(0.0);
    vec4 sums[TAPS * SUMS];
    [[unroll]] for (int i = 0; i < TAPS * SUMS; ++i) {
        sums[i] = vec4(0.0);
    }
    uint begin = gl_WorkGroupID.z * parameters.splitPixels;
    uint end = isColumn ? min(begin + parameters.splitPixels, texelCount(grid)) : 0u;
    for (uint block = begin + turn; block < end; block += gl_WorkGroupSize.x / COLUMNS) {
        Place at = placeOf(grid, block);
        int x = at.x * PIXELS;
        vec4 e[PIXELS];
        [[unroll]] for (int p = 0; p < PIXELS; ++p) {
            e[p] = gradient_load(gradientView, min(x + p, windows - 1), at.y, 0u, at.image);
        }
        int u = x * STRIDE + originX;
        int row = at.y * parameters.strideY + originY;
        int v = clampIndex(row, height);
        vec4 values[SPAN];
        [[unroll]] for (int i = 0; i < SPAN; ++i) {
            values[i] = source_load(sourceView, clampIndex(u + i, width), v, 0u, at.image);
        }
        if (x + PIXELS > windows) {
            [[unroll]] for (int p = 0; p < PIXELS; ++p) {
                e[p] = x + p < windows ? e[p] : vec4(0.0);
            }
        }
        [[unroll]] for (int p = 0; p < PIXELS; ++p) {
            bias += e[p];
        }
        if (parameters.clampEdges == 0u) {
            if (v != row) {
                continue;
            }
            if (u < 0 || u + SPAN > width) {
                [[unroll]] for (int i = 0; i < SPAN; ++i) {
                    values[i] = u + i >= 0 && u + i < width ? values[i] : vec4(0.0);
                }
            }
        }
        [[unroll]] for (int p = 0; p < PIXELS; ++p) {
            [[unroll]] for (int r = 0; r < TAPS; ++r) {
                [[unroll]] for (int c = 0; c < SUMS; ++c) {
                    sums[r * SUMS + c] = fma(DIAGONAL ? e[p] : vec4(e[p][c]),
                                             values[p * STRIDE + r * DILATION],
                                             sums[r * SUMS + c]);
                }
            }
        }
    }

    // Texel `c` of a tap's sums lies at place + tap * tapStride + c * stride.
    uint taps = parameters.kernelWidth * parameters.kernelHeight;
    uint stride = taps * parameters.tileSlices + 1u;
    uint tapStride = DIAGONAL ? parameters.tiles : parameters.tileSlices;
    uint place = DIAGONAL ? gl_WorkGroupID.z * (taps + 1u) * parameters.tiles + tile
                          : (gl_WorkGroupID.z * parameters.tiles + tile) * 4u * stride;
    isColumn = isColumn && turn == 0u;
    [[unroll]] for (int r = 0; r < TAPS; ++r) {
        uint tap = firstTap + uint(r);
        uint at = place + (q * parameters.kernelWidth + tap) * tapStride + s;
        [[unroll]] for (int c = 0; c < SUMS; ++c) {
            vec4 sum = sumOfTurns(sums[r * SUMS + c]);
            if (isColumn && tap < parameters.kernelWidth) {
                partials[at + uint(c) * stride] = sum;
            }
        }
    }
    bias = sumOfTurns(bias);
    if (isColumn && q == 0u && firstTap == 0u && s == 0u) {
        if (DIAGONAL) {
            partials[place + taps * tapStride] = bias;
        } else {
            [[unroll]] for (uint c = 0u; c < 4u; ++c) {
                partials[place + c * stride + stride - 1u] = vec4(bias[c], 0.0, 0.0, 0.0);
            }
        }
    }
}
