// The end of Winograd's products: an invocation has one texel of the results of a tile.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
layout(local_size_x = 64) in;
#include "neuron.glsl"
#include "pixel.glsl"
#include "winograd.glsl"

layout(constant_id = 35) const uint NEURON = 0u;
layout(set = 0, binding = 0) uniform Block {
    TexelGrid grid; // of results, and tiles
    CNNConvolutionWinogradParameters parameters;
};
layout(set = 0, binding = 1, std430) readonly buffer Matrices {
    vec4 matrices[];
};
IMAGE_DESTINATION(2, destination)
// Biases, then for PReLU the slopes.
layout(set = 0, binding = 3, std430) readonly buffer Channels {
    vec4 channels[];
};

void main() {
    uint i = gridIndex();
    if (i >= texelCount(grid)) {
        return;
    }
    Place at = placeOf(grid, i);
    uint tile = (at.image * grid.height + uint(at.y)) * grid.width + uint(at.x);
    uint from = tile * parameters.rowTexels + at.slice;
    vec4 rows[results][mostSpan];
    [[unroll]] for (uint r = 0u; r < span; ++r) {
        vec4 x[mostSpan];
        [[unroll]] for (uint q = 0u; q < span; ++q) {
            x[q] = matrices[from + (q * span + r) * parameters.positionTexels];
        }
        vec4 column[mostResults] = winogradResult(x);
        [[unroll]] for (uint q = 0u; q < results; ++q) {
            rows[q][r] = column[q];
        }
    }
    vec4 bias = parameters.hasBias != 0u ? channels[at.slice] : vec4(0.0);
    vec4 a = vec4(parameters.neuronA);
    if (NEURON == neuronPReLU) {
        a = channels[parameters.slopes + at.slice];
    }
    uint left = uint(at.x) * results, top = uint(at.y) * results;
    [[unroll]] for (uint q = 0u; q < results; ++q) {
        vec4 row[mostResults] = winogradResult(rows[q]);
        [[unroll]] for (uint r = 0u; r < results; ++r) {
            vec4 value = row[r] + bias;
            if (NEURON != neuronNone) {
                value = neuronForward(NEURON, value, a, vec4(parameters.neuronB),
                                      vec4(parameters.neuronC));
            }
            if (left + r < parameters.clipWidth && top + q < parameters.clipHeight) {
                destination_store(parameters.destination, int(parameters.clipX + left + r),
                                  int(parameters.clipY + top + q), at.slice, at.image, value);
            }
        }
    }
}
