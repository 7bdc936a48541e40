// The sums of those chunks of the sorted list that belong to one slice as a whole.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "NDArrayGatherGradient.glsl"

layout(set = 0, binding = 2, std430) readonly buffer Keys { uint keys[]; };
layout(set = 0, binding = 3, std430) writeonly buffer Sums { vec4 sums[]; };

void main() {
    uint i = gridIndex();
    uint chunk = i / p.units, first = chunk * gatherChunk();
    if (chunk >= p.chunks) return;
    uint key = keys[first];
    if (key >= p.slices || keys[first + gatherChunk() - 1u] != key) return;
    sums[i] = sumOf(placeOf(i % p.units), first, first + gatherChunk());
}
