// Convolution whose groups have few channels: an invocation computes a texel of result channels for
// PIXELS neighbours of a row. It loads what a row of taps reads of them once, SPAN pixels, and
// multiplies by 4x4 weights; those are packed as [q][r][slice][k][texel], so that neighbouring
// texels read neighbouring weights. With SPREAD the data gradient, which is the transposed
// convolution too. The grid is [image][block of pixels][y][texel]: rows that share what they read
// are in one workgroup.
//
// DIAGONAL: each channel is a group of its own, whose weights are packed as [q][r][texel]. Of sources of
// few channels, in one group, only the LANES that there are of a texel are multiplied.
//
// Along x, tap r of pixel p is at row[e / (SPREAD ? STRIDE : 1)] with
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

layout(constant_id = 33) const int PIXELS = 8;
layout(constant_id = 34) const int TAPS = 3; // of a row
layout(constant_id = 35) const uint NEURON = 0u;
layout(constant_id = 36) const int STRIDE = 1;
layout(constant_id = 37) const bool SPREAD = false;
layout(constant_id = 38) const int DILATION = 1;
layout(constant_id = 39) const int STRIDE_Y = 1;
layout(constant_id = 40) const int LEAD = 0;
layout(constant_id = 41) const int SPAN = 10;
layout(constant_id = 43) const bool DIAGONAL = false;
layout(constant_id = 44) const uint LANES = 4u;
layout(constant_id = 45) const uint TILE_TEXELS = 1u; // of the packed weights
layout(set = 0, binding = 0) uniform Block {
    TexelGrid grid;
    CNNConvolutionParameters parameters;
};
IMAGE_SOURCE(1, source)
GROUPED_SOURCE(source)
IMAGE_DESTINATION(2, destination)
layout(set = 0, binding = 3, std430) readonly buffer Weights {
    vec4 weights[];
};
layout(set = 0, binding = 4, std430) readonly buffer Channels {
    vec4 channels[]; // biases, then for PReLU the slopes
};

const uint WEIGHTS = DIAGONAL ? 1u : 4u; // texels of them, for a tap and a texel

uvec4 row[SPAN];

int elementOf(int p, int r) {
    return SPREAD ? p + LEAD - r * DILATION : p * STRIDE + r * DILATION;
}

bool isHit(int p, int r) {
    return !SPREAD || elementOf(p, r) % STRIDE == 0;
}

int placeInRow(int p, int r) {
    return elementOf(p, r) / (SPREAD ? STRIDE : 1);
}

// The source row that tap q reads for row y of the result; one outside of the source for none.
int rowOf(int y, int q) {
    int tap = parameters.originY + q * parameters.dilationY;
    if (!SPREAD) {
        return y * STRIDE_Y + tap;
    }
    int v = floorDivide(y - tap, STRIDE_Y);
    return v * STRIDE_Y == y - tap ? v : -1;
}

bool isInside(int v) {
    return parameters.clampEdges != 0u || (v >= 0 && v < int(parameters.source.height));
}

vec4 sums[PIXELS];

// A row of taps, whose weights begin at `first`. Pixel by pixel, so that few of them are numbers at a time.
void addDiagonal(ImageView view, uint first, uint packedSlices) {
    vec4 weight[TAPS];
    [[unroll]] for (int r = 0; r < TAPS; ++r) {
        weight[r] = weights[first + uint(r) * packedSlices];
    }
    [[unroll]] for (int i = 0; i < SPAN; ++i) {
        vec4 value = source_value(view, row[i]);
        [[unroll]] for (int r = 0; r < TAPS; ++r) {
            [[unroll]] for (int p = 0; p < PIXELS; ++p) {
                if (isHit(p, r) && placeInRow(p, r) == i) {
                    sums[p] = fma(value, weight[r], sums[p]);
                }
            }
        }
    }
}

// The same of groups of several channels: tap by tap, since their weights take more registers.
void addTile(ImageView view, uint first, uint packedSlices) {
    vec4 values[SPAN];
    [[unroll]] for (int i = 0; i < SPAN; ++i) {
        values[i] = source_value(view, row[i]);
    }
    [[unroll]] for (int r = 0; r < TAPS; ++r) {
        vec4 weight[LANES];
        [[unroll]] for (uint k = 0u; k < LANES; ++k) {
            uint at = uint(r) * parameters.tileSlices * WEIGHTS + k;
            weight[k] = weights[first + at * packedSlices];
        }
        [[unroll]] for (int p = 0; p < PIXELS; ++p) {
            if (isHit(p, r)) {
                [[unroll]] for (uint k = 0u; k < LANES; ++k) {
                    sums[p] = fma(vec4(values[placeInRow(p, r)][k]), weight[k], sums[p]);
                }
            }
        }
    }
}

void main() {
    uint index = gridIndex();
    if (index >= texelCount(grid)) {
        return;
    }
    Place at = placeOf(grid, index);
    int x = at.y * PIXELS;
    int y = at.x;
    int u = SPREAD ? x / STRIDE - floorDivide(parameters.originX + LEAD, STRIDE)
                   : x * STRIDE + parameters.originX;
    uint firstSlice = DIAGONAL ? at.slice
                               : tileFirstSlice(at.slice, 4u, parameters.resultPerGroup,
                                                parameters.reducedPerGroup);

    uint packedSlices = DIAGONAL ? grid.slices : parameters.tiles * TILE_TEXELS;

    [[unroll]] for (int p = 0; p < PIXELS; ++p) {
        sums[p] = vec4(0.0);
    }
    // One loop over rows of taps and texels of a group: two cost up to 8 %.
    uint turns = parameters.kernelHeight * parameters.tileSlices;
    uint q = 0u, s = 0u;
    for (uint turn = 0u; turn < turns; ++turn) {
        int v = rowOf(y, int(q));
        ImageView view = texelView(parameters.source, firstSlice + s);
        [[unroll]] for (int i = 0; i < SPAN; ++i) {
            row[i] = source_raw(view, u + i, v, at.image, parameters.clampEdges);
        }
        if (isInside(v)) {
            uint first = (q * uint(TAPS) * parameters.tileSlices + s) * WEIGHTS;
            if (DIAGONAL) {
                addDiagonal(view, first * packedSlices + at.slice, packedSlices);
            } else {
                addTile(view, first * packedSlices + at.slice, packedSlices);
            }
        }
        ++s;
        if (s == parameters.tileSlices) {
            s = 0u;
            ++q;
        }
    }

    vec4 bias = parameters.hasBias != 0u ? channels[at.slice] : vec4(0.0);
    vec4 a = vec4(parameters.neuronA);
    if (NEURON == neuronPReLU) {
        a = channels[packedSlices + at.slice];
    }
    [[unroll]] for (int p = 0; p < PIXELS; ++p) {
        if (x + p < int(parameters.clipWidth)) {
            vec4 value = sums[p] + bias;
            if (NEURON != neuronNone) {
                value = neuronForward(NEURON, value, a, vec4(parameters.neuronB),
                                      vec4(parameters.neuronC));
            }
            destination_store(parameters.destination, int(parameters.clipX) + x + p,
                              int(parameters.clipY) + y, at.slice, at.image, value);
        }
    }
}
