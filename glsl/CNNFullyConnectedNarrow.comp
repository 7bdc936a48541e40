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
layout(set = 0, binding = 0) uniform Block { CNNConvolutionParameters parameters; };
IMAGE_SOURCE(1, source)
IMAGE_DESTINATION(2, destination)
layout(set = 0, binding = 3, std430) readonly buffer Weights { vec4 weights[]; };
layout(set = 0, binding = 4, std430) readonly buffer Channels { vec4 channels[]; };
#include "finishedSum.glsl"

shared vec4 groupSums[TILE_TEXELS][gl_WorkGroupSize.x];
const uint firstSums = gl_WorkGroupSize.x / 16u; // of 16 invocations each

void main() {
    uint image = gl_WorkGroupID.x + gl_WorkGroupID.y * gl_NumWorkGroups.x;
    if (image >= parameters.images) return; // the whole workgroup
    uint thread = gl_LocalInvocationID.x;
    vec4 sums[TILE_TEXELS];
    [[unroll]] for (uint n = 0u; n < TILE_TEXELS; ++n) sums[n] = vec4(0.0);
    for (uint slice = thread; slice < parameters.tileSlices; slice += gl_WorkGroupSize.x) {
        vec4 x = source_load(parameters.source, parameters.originX, parameters.originY, slice, image);
        [[unroll]] for (uint k = 0u; k < 4u; ++k)
            [[unroll]] for (uint n = 0u; n < TILE_TEXELS; ++n)
                sums[n] = fma(vec4(x[k]), weights[(slice * 4u + k) * TILE_TEXELS + n], sums[n]);
    }
    [[unroll]] for (uint n = 0u; n < TILE_TEXELS; ++n) groupSums[n][thread] = sums[n];
    barrier();
    if (thread < firstSums * TILE_TEXELS) {
        uint n = thread / firstSums, i = thread % firstSums;
        vec4 sum = groupSums[n][i];
        [[unroll]] for (uint k = 1u; k < 16u; ++k) sum += groupSums[n][i + k * firstSums];
        groupSums[n][i] = sum;
    }
    barrier();
    if (thread >= parameters.resultSlices) return;
    vec4 sum = groupSums[thread][0];
    [[unroll]] for (uint i = 1u; i < firstSums; ++i) sum += groupSums[thread][i];
    destination_store(parameters.destination, int(parameters.clipX), int(parameters.clipY), thread, image,
                      finishedSum(thread, sum));
}
