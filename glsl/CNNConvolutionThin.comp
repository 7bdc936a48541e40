// Convolution whose results have CHANNELS channels, four at most: an invocation computes PIXELS
// neighbours of a row, and a workgroup LINES rows of some such blocks. It goes over the texels of a
// source pixel, SLICES at once: what the workgroup reads of them and their weights go through shared
// memory, and each tap is four products for every channel that there is. With SPREAD the data
// gradient, which is the transposed convolution too; there the rows of a workgroup are those that the
// same taps hit, STRIDE_Y apart.
//
// Along x, tap r of pixel p is at element e / (SPREAD ? STRIDE : 1) of a block's SPAN, with
//     e = p * STRIDE + r * DILATION, SPREAD: e = p + LEAD - r * DILATION where STRIDE divides it.
// LEAD makes that positive and the first pixel of a block, a multiple of STRIDE, hit a window.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "CNNConvolution.h"
layout(local_size_x_id = 32) in;
#include "neuron.glsl"
#include "pixel.glsl"
#include "groupedTexel.glsl"
#include "taps.glsl"

layout(constant_id = 33) const int PIXELS = 8;
layout(constant_id = 34) const int TAPS = 3; // of a row
layout(constant_id = 35) const uint NEURON = 0u;
layout(constant_id = 36) const int STRIDE = 1;
layout(constant_id = 37) const bool SPREAD = false;
layout(constant_id = 38) const int DILATION = 1;
layout(constant_id = 39) const int STRIDE_Y = 1;
layout(constant_id = 40) const int LEAD = 0;
layout(constant_id = 41) const int SPAN = 10;
layout(constant_id = 43) const int CHANNELS = 3;
layout(constant_id = 44) const uint LINES = 8u;
layout(constant_id = 45) const uint HEIGHT = 10u;     // source rows of a workgroup, at most
layout(constant_id = 46) const uint TAP_ROWS = 3u;    // of a result row, at most
layout(constant_id = 47) const uint TILE_TEXELS = 1u; // of the packed weights
layout(constant_id = 48) const uint SLICES = 2u;
layout(set = 0, binding = 0) uniform Block {
    TexelGrid grid; // of workgroups: blocks of columns, blocks of rows, phases
    CNNConvolutionParameters parameters;
};
IMAGE_SOURCE(1, source)
IMAGE_DESTINATION(2, destination)
layout(set = 0, binding = 3, std430) readonly buffer Weights {
    vec4 weights[];
};
layout(set = 0, binding = 4, std430) readonly buffer Channels {
    vec4 channels[]; // biases, then for PReLU the slopes
};

const uint SIZE = gl_WorkGroupSize.x;
const uint BLOCKS = SIZE / LINES;
const uint STEP = uint(SPREAD ? PIXELS / STRIDE : PIXELS * STRIDE); // from block to block
const uint WIDTH = (BLOCKS - 1u) * STEP + uint(SPAN);
const uint PITCH = WIDTH | 1u; // odd: neighbours, which are rows, read different banks
const uint AT_ONCE = 4u;       // loads

shared vec4 tile[SLICES * HEIGHT * PITCH];
shared vec4 tileWeights[SLICES * TAP_ROWS * uint(TAPS) * uint(CHANNELS)]; // of four source channels

int elementOf(int p, int r) {
    return SPREAD ? p + LEAD - r * DILATION : p * STRIDE + r * DILATION;
}

bool isHit(int p, int r) {
    return !SPREAD || elementOf(p, r) % STRIDE == 0;
}

// Tile rows from one tap row to the next, of the same result row.
int tapStep(TapRange range) {
    return SPREAD ? parameters.dilationY * int(range.step) / STRIDE_Y : parameters.dilationY;
}

// SLICES texels from `slice` on, of the rows from `top` and the columns from `left` on.
void loadTile(int left, int top, uint rows, uint slice, uint image) {
    int width = int(parameters.source.width);
    int height = int(parameters.source.height);
    uint total = rows * WIDTH * SLICES;
    for (uint first = gl_LocalInvocationID.x; first < total; first += AT_ONCE * SIZE) {
        vec4 next[AT_ONCE];
        [[unroll]] for (uint j = 0u; j < AT_ONCE; ++j) {
            uint i = min(first + j * SIZE, total - 1u);
            uint pixel = i / SLICES;
            int x = left + int(pixel % WIDTH);
            int y = top + int(pixel / WIDTH);
            ImageView view = texelView(parameters.source, slice + i % SLICES);
            int nearestX = clampIndex(x, width);
            int nearestY = clampIndex(y, height);
            next[j] = source_load(view, nearestX, nearestY, 0u, image);
            bool isUsed = parameters.clampEdges != 0u || (x == nearestX && y == nearestY);
            next[j] = isUsed ? next[j] : vec4(0.0);
        }
        [[unroll]] for (uint j = 0u; j < AT_ONCE; ++j) {
            uint i = first + j * SIZE;
            uint pixel = i / SLICES;
            if (i < total) {
                tile[(i % SLICES * HEIGHT + pixel / WIDTH) * PITCH + pixel % WIDTH] = next[j];
            }
        }
    }
}

void loadWeights(TapRange rows, uint slice, uint count) {
    for (uint i = gl_LocalInvocationID.x; i < count * rows.count * uint(TAPS); i += SIZE) {
        uint s = i / (rows.count * uint(TAPS));
        uint tap = i - s * rows.count * uint(TAPS);
        uint q = rows.first + tap / uint(TAPS) * rows.step;
        uint r = tap % uint(TAPS);
        uint from = ((q * uint(TAPS) + r) * parameters.tileSlices + slice + s) * 4u * TILE_TEXELS;
        mat4 w = mat4(weights[from], weights[from + TILE_TEXELS], weights[from + 2u * TILE_TEXELS],
                      weights[from + 3u * TILE_TEXELS]);
        uint to = (s * TAP_ROWS * uint(TAPS) + tap) * uint(CHANNELS);
        [[unroll]] for (int c = 0; c < CHANNELS; ++c) {
            tileWeights[to + uint(c)] = vec4(w[0][c], w[1][c], w[2][c], w[3][c]);
        }
    }
}

void main() {
    Place at = placeOf(grid, gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x);
    if (at.image >= grid.images) {
        return; // with all of the workgroup
    }
    uint line = gl_LocalInvocationID.x % LINES;
    uint block = gl_LocalInvocationID.x / LINES;
    int firstX = int(at.slice * BLOCKS) * PIXELS;
    int firstLine = at.x * int(LINES);
    TapRange range = SPREAD ? tapsOfPhase(parameters.originY, STRIDE_Y, parameters.dilationY,
                                          int(parameters.kernelHeight), at.y)
                            : allTaps(parameters.kernelHeight);
    int lastTap = int(range.first) + (int(range.count) - 1) * int(range.step);
    int left = SPREAD ? firstX / STRIDE - floorDivide(parameters.originX + LEAD, STRIDE)
                      : firstX * STRIDE + parameters.originX;
    int top = SPREAD ? firstLine + floorDivide(at.y - parameters.originY -
                                               parameters.dilationY * lastTap, STRIDE_Y)
                     : firstLine * STRIDE_Y + parameters.originY;
    int lineStep = SPREAD ? 1 : STRIDE_Y;
    int rowStep = tapStep(range);
    uint rows = uint((int(LINES) - 1) * lineStep + (int(range.count) - 1) * rowStep + 1);
    // The taps of a spread result come in the order of falling rows.
    int firstRow = int(line) * lineStep + (SPREAD ? (int(range.count) - 1) * rowStep : 0);
    rowStep = SPREAD ? -rowStep : rowStep;

    float sums[PIXELS * CHANNELS];
    [[unroll]] for (int n = 0; n < PIXELS * CHANNELS; ++n) {
        sums[n] = 0.0;
    }
    for (uint slice = 0u; range.count > 0u && slice < parameters.tileSlices; slice += SLICES) {
        uint count = min(SLICES, parameters.tileSlices - slice);
        barrier();
        loadTile(left, top, rows, slice, at.image);
        loadWeights(range, slice, count);
        barrier();
        for (uint s = 0u; s < count; ++s) {
            for (uint t = 0u; t < range.count; ++t) {
                uint row = s * HEIGHT + uint(firstRow + int(t) * rowStep);
                uint from = row * PITCH + block * STEP;
                vec4 values[SPAN];
                [[unroll]] for (int i = 0; i < SPAN; ++i) {
                    values[i] = tile[from + uint(i)];
                }
                [[unroll]] for (int r = 0; r < TAPS; ++r) {
                    uint w = ((s * TAP_ROWS + t) * uint(TAPS) + uint(r)) * uint(CHANNELS);
                    [[unroll]] for (int c = 0; c < CHANNELS; ++c) {
                        vec4 weight = tileWeights[w + uint(c)];
                        [[unroll]] for (int p = 0; p < PIXELS; ++p) {
                            if (isHit(p, r)) {
                                vec4 value = values[elementOf(p, r) / (SPREAD ? STRIDE : 1)];
                                [[unroll]] for (int k = 0; k < 4; ++k) {
                                    sums[p * CHANNELS + c] =
                                        fma(value[k], weight[k], sums[p * CHANNELS + c]);
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    int x = firstX + int(block) * PIXELS;
    int y = (firstLine + int(line)) * (SPREAD ? STRIDE_Y : 1) + at.y;
    if (y >= int(parameters.clipHeight)) {
        return;
    }
    vec4 bias = parameters.hasBias != 0u ? channels[0] : vec4(0.0);
    vec4 a = vec4(parameters.neuronA);
    if (NEURON == neuronPReLU) {
        a = channels[parameters.tiles * TILE_TEXELS];
    }
    [[unroll]] for (int p = 0; p < PIXELS; ++p) {
        vec4 value = bias;
        [[unroll]] for (int c = 0; c < CHANNELS; ++c) {
            value[c] += sums[p * CHANNELS + c];
        }
        if (NEURON != neuronNone) {
            value = neuronForward(NEURON, value, a, vec4(parameters.neuronB),
                                  vec4(parameters.neuronC));
        }
        if (x + p < int(parameters.clipWidth)) {
            destination_store(parameters.destination, int(parameters.clipX) + x + p,
                              int(parameters.clipY) + y, 0u, at.image, value);
        }
    }
}
