// The forward product of layers with few results, one pixel of source and result each: a workgroup has an
// image, and its invocations share the source's texels.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "CNNConvolution.h"
#include "image.glsl"
#include "neuron.glsl"

layout(local_size_x_id = 32) in;
layout(constant_id = 33) const uint TILE_TEXELS = 4u;
layout(constant_id = 35) const uint NEURON = 0u;
layout(set = 0, binding = 0) uniform Block { CNNConvolutionParameters p; };
IMAGE_SOURCE(1, source)
IMAGE_DESTINATION(2, destination)
layout(set = 0, binding = 3, std430) readonly buffer Weights { vec4 weights[]; };
// Biases, then for PReLU the slopes.
layout(set = 0, binding = 4, std430) readonly buffer Channels { vec4 channels[]; };

shared vec4 groupSums[TILE_TEXELS][gl_WorkGroupSize.x];

void main() {
    uint image = gl_WorkGroupID.x + gl_WorkGroupID.y * gl_NumWorkGroups.x;
    if (image >= p.images) return; // the whole workgroup
    uint thread = gl_LocalInvocationID.x;
    vec4 sums[TILE_TEXELS];
    [[unroll]] for (uint n = 0u; n < TILE_TEXELS; ++n) sums[n] = vec4(0.0);
    for (uint slice = thread; slice < p.tileSlices; slice += gl_WorkGroupSize.x) {
        vec4 x = source_load(p.source, p.originX, p.originY, slice, image);
        [[unroll]] for (uint k = 0u; k < 4u; ++k)
            [[unroll]] for (uint n = 0u; n < TILE_TEXELS; ++n)
                sums[n] = fma(vec4(x[k]), weights[(slice * 4u + k) * TILE_TEXELS + n], sums[n]);
    }
    [[unroll]] for (uint n = 0u; n < TILE_TEXELS; ++n) groupSums[n][thread] = sums[n];
    barrier();
    for (uint step = gl_WorkGroupSize.x / 2u; step > 0u; step /= 2u) {
        for (uint i = thread; i < step * TILE_TEXELS; i += gl_WorkGroupSize.x)
            groupSums[i / step][i % step] += groupSums[i / step][i % step + step];
        barrier();
    }
    if (thread >= p.resultSlices) return;
    vec4 y = groupSums[thread][0];
    if (p.hasBias != 0u) y += channels[thread];
    vec4 a = NEURON == neuronPReLU ? channels[TILE_TEXELS + thread] : vec4(p.neuronA);
    y = neuronForward(NEURON, y, a, vec4(p.neuronB), vec4(p.neuronC));
    destination_store(p.destination, int(p.clipX), int(p.clipY), thread, image, y);
}
