// The partial sums of CNNConvolutionGradientWeights, with tiles of one texel, for groups of few
// channels. An invocation has a column: a texel of output channels, one of input channels and up to
// TAPS taps of ROWS rows, 16 sums each. It goes down blocks of PIXELS by blockHeight windows: of each row it
// loads the windows and what their last row of taps reads, SPAN pixels; the other rows it has from the
// windows above. The grid is (blocks of COLUMNS columns, 1, parts). The rows of COLUMNS of
// a workgroup take turns with the blocks of windows of a part; their sums are added up in order.
// DIAGONAL: each channel is a group of its own; the partial sums are those of
// CNNConvolutionDepthwiseGradientWeights.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "CNNConvolution.h"
layout(local_size_x_id = 32) in;
#include "pixel.glsl"
#include "groupedTexel.glsl"

layout(constant_id = 33) const int PIXELS = 8;
layout(constant_id = 34) const int TAPS = 3;
layout(constant_id = 36) const int STRIDE = 1;
layout(constant_id = 38) const int DILATION = 1;
layout(constant_id = 39) const uint COLUMNS = 32u;
layout(constant_id = 41) const int SPAN = 10;
layout(constant_id = 43) const bool DIAGONAL = false;
// All rows of taps, of windows and taps one row apart, or 1.
layout(constant_id = 44) const int ROWS = 1;
layout(set = 0, binding = 0) uniform Block {
    TexelGrid grid; // of blocks of windows
    CNNConvolutionWeightsParameters parameters;
};
IMAGE_SOURCE(1, gradient)
IMAGE_SOURCE(2, source)
GROUPED_SOURCE(source)
layout(set = 0, binding = 3, std430) writeonly buffer Partials {
    vec4 partials[];
};

const int SUMS = DIAGONAL ? 1 : 4; // texels of them, for a tap

shared vec4 turns[gl_WorkGroupSize.x];

uvec4 taps[ROWS * SPAN]; // what the rows of taps read

void loadTaps(int tapRow, ImageView view, int x, int y, uint image) {
    [[unroll]] for (int i = 0; i < SPAN; ++i) {
        taps[tapRow * SPAN + i] = source_raw(view, x + i, y, image, parameters.clampEdges);
    }
}

vec4 sums[ROWS * TAPS * SUMS];
vec4 bias;

// Of PIXELS windows of a row, whose rows of taps but the last are those of the row above.
void addRow(ImageView gradientView, ImageView sourceView, int x, int y, int u, int originY, uint image) {
    int width = int(parameters.gradient.width);
    vec4 e[PIXELS];
    [[unroll]] for (int p = 0; p < PIXELS; ++p) {
        e[p] = gradient_load(gradientView, min(x + p, width - 1), y, 0u, image);
    }
    [[unroll]] for (int i = 0; i < (ROWS - 1) * SPAN; ++i) {
        taps[i] = taps[i + SPAN];
    }
    loadTaps(ROWS - 1, sourceView, u, y * parameters.strideY + originY + ROWS - 1, image);
    if (x + PIXELS > width) {
        [[unroll]] for (int p = 0; p < PIXELS; ++p) {
            e[p] = x + p < width ? e[p] : vec4(0.0);
        }
    }
    [[unroll]] for (int p = 0; p < PIXELS; ++p) {
        bias += e[p];
    }
    [[unroll]] for (int p = 0; p < PIXELS; ++p) {
        // A window beyond the last has a gradient of 0, but what its taps read may be no number.
        if (x + p >= width) {
            break;
        }
        [[unroll]] for (int t = 0; t < ROWS * TAPS; ++t) {
            uvec4 tap = taps[t / TAPS * SPAN + p * STRIDE + t % TAPS * DILATION];
            vec4 value = source_value(sourceView, tap);
            [[unroll]] for (int c = 0; c < SUMS; ++c) {
                sums[t * SUMS + c] =
                    fma(DIAGONAL ? e[p] : vec4(e[p][c]), value, sums[t * SUMS + c]);
            }
        }
    }
}

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
    q *= uint(ROWS);
    bool isColumn = q < parameters.kernelHeight;
    ImageView gradientView = texelView(parameters.gradient, tile);
    ImageView sourceView = texelView(
        parameters.source, DIAGONAL ? tile
                                    : s + tileFirstSlice(tile, 4u, parameters.resultPerGroup,
                                                         parameters.reducedPerGroup));
    int originX = parameters.originX + int(firstTap) * DILATION;
    int originY = parameters.originY + int(q) * parameters.dilationY;
    bias = vec4(0.0);
    [[unroll]] for (int i = 0; i < ROWS * TAPS * SUMS; ++i) {
        sums[i] = vec4(0.0);
    }
    uint begin = gl_WorkGroupID.z * parameters.splitPixels;
    uint end = isColumn ? min(begin + parameters.splitPixels, texelCount(grid)) : 0u;
    for (uint block = begin + turn; block < end; block += gl_WorkGroupSize.x / COLUMNS) {
        Place at = placeOf(grid, block);
        int x = at.x * PIXELS;
        int y = at.y * int(parameters.blockHeight);
        int u = x * STRIDE + originX;
        [[unroll]] for (int j = 1; j < ROWS; ++j) {
            loadTaps(j, sourceView, u, y + originY + j - 1, at.image);
        }
        if (ROWS == 1) {
            addRow(gradientView, sourceView, x, y, u, originY, at.image);
        } else {
            int endY = min(y + int(parameters.blockHeight), int(parameters.gradient.height));
            for (; y < endY; ++y) {
                addRow(gradientView, sourceView, x, y, u, originY, at.image);
            }
        }
    }

    // Texel `c` of a tap's sums lies at place + tap * tapStride + c * stride.
    uint tapCount = parameters.kernelWidth * parameters.kernelHeight;
    uint stride = tapCount * parameters.tileSlices + 1u;
    uint tapStride = DIAGONAL ? parameters.tiles : parameters.tileSlices;
    uint place = DIAGONAL ? gl_WorkGroupID.z * (tapCount + 1u) * parameters.tiles + tile
                          : (gl_WorkGroupID.z * parameters.tiles + tile) * 4u * stride;
    isColumn = isColumn && turn == 0u;
    [[unroll]] for (int t = 0; t < ROWS * TAPS; ++t) {
        uint tap = firstTap + uint(t % TAPS);
        uint at = place + ((q + uint(t / TAPS)) * parameters.kernelWidth + tap) * tapStride + s;
        [[unroll]] for (int c = 0; c < SUMS; ++c) {
            vec4 sum = sumOfTurns(sums[t * SUMS + c]);
            if (isColumn && tap < parameters.kernelWidth) {
                partials[at + uint(c) * stride] = sum;
            }
        }
    }
    bias = sumOfTurns(bias);
    if (isColumn && q == 0u && firstTap == 0u && s == 0u) {
        if (DIAGONAL) {
            partials[place + tapCount * tapStride] = bias;
        } else {
            [[unroll]] for (uint c = 0u; c < 4u; ++c) {
                partials[place + c * stride + stride - 1u] = vec4(bias[c], 0.0, 0.0, 0.0);
            }
        }
    }
}
