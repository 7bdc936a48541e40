// The adjoint of the forward product of layers with few results, one pixel of source and result each: an
// invocation has a texel of the many channels, and loads all that it takes before it multiplies.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "CNNConvolution.h"
layout(local_size_x = 64) in;
#include "neuron.glsl"
#include "pixel.glsl"

layout(constant_id = 33) const uint TILE_TEXELS = 4u;
layout(constant_id = 35) const uint NEURON = 0u;
layout(constant_id = 36) const uint SLICES = 1u; // of the few channels
layout(set = 0, binding = 0) uniform Block {
    TexelGrid grid;
    CNNConvolutionParameters parameters;
};
IMAGE_SOURCE(1, source)
IMAGE_DESTINATION(2, destination)
layout(set = 0, binding = 3, std430) readonly buffer Weights { vec4 weights[]; };
layout(set = 0, binding = 4, std430) readonly buffer Channels { vec4 channels[]; };
#include "finishedSum.glsl"

void main() {
    uint i = gridIndex();
    if (i >= texelCount(grid)) return;
    Place at = placeOf(grid, i);
    uint first = at.slice / TILE_TEXELS * SLICES * 4u * TILE_TEXELS + at.slice % TILE_TEXELS;
    vec4 x[SLICES], w[4u * SLICES];
    [[unroll]] for (uint k = 0u; k < SLICES; ++k) x[k] = source_load(parameters.source, 0, 0, k, at.image);
    [[unroll]] for (uint k = 0u; k < 4u * SLICES; ++k) w[k] = weights[first + k * TILE_TEXELS];
    vec4 sum = vec4(0.0);
    [[unroll]] for (uint k = 0u; k < 4u * SLICES; ++k) sum = fma(vec4(x[k / 4u][k % 4u]), w[k], sum);
    destination_store(parameters.destination, int(parameters.clipX), int(parameters.clipY), at.slice, at.image,
                      finishedSum(at.slice, sum));
}
