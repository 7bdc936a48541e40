// Sums and maxima over the channels of a pixel, by one invocation or, with GROUP_PER_PIXEL, by 64 of
// a workgroup: every invocation starts at slice channelFirst() and goes on by channelStep, `texels`
// slices at a time. What it reads in its first keptSteps stays in registers; it reads the others again.
#ifndef MPSVK_SOFTMAX_GLSL
#define MPSVK_SOFTMAX_GLSL

#include "CNNSoftMax.h"
layout(local_size_x = 256) in;
#include "pixel.glsl"

#ifdef GROUP_PER_PIXEL

#include "neighbourReduce.glsl"

const uint channelStep = 64u * texels;

uint pixelIndex() { return gridIndex() / 64u; }
uint channelFirst() { return gl_LocalInvocationID.x % 64u * texels; }

NEIGHBOUR_REDUCE(float, overChannelsSum, plus, 256, 6u)
NEIGHBOUR_REDUCE(float, overChannelsMax, max, 256, 6u)

#else

const uint channelStep = texels;

uint pixelIndex() { return gridIndex(); }
uint channelFirst() { return 0u; }
float overChannelsSum(float own) { return own; }
float overChannelsMax(float own) { return own; }

#endif

layout(constant_id = 33) const uint keptSteps = 4u;
uint keptSlice(uint k) { return channelFirst() + k * channelStep; }

bvec4 isChannel(uint slice, uint channels) {
    if (wholeTexels != 0u) return bvec4(true);
    return lessThan(slice * 4u + uvec4(0u, 1u, 2u, 3u), uvec4(channels));
}

float lanesSum(vec4 v) { return ((v.x + v.y) + v.z) + v.w; }
float lanesMax(vec4 v) { return max(max(v.x, v.y), max(v.z, v.w)); }

#endif
