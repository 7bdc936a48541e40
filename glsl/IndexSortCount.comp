// How often each digit occurs in each block of the list: [digit][block].
#version 450
#extension GL_GOOGLE_include_directive : require
#include "indexSort.glsl"

layout(set = 0, binding = 2, std430) writeonly buffer Table { uint table[]; };
shared uint counts[256];

void main() {
    uint thread = gl_LocalInvocationIndex;
    uint block = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
    counts[thread] = 0u;
    barrier();
    for (uint round = 0u; round < sortBlock(); round += 256u) {
        uint i = block * sortBlock() + round + thread;
        if (i < p.count) atomicAdd(counts[digitOf(keyAt(i))], 1u);
    }
    barrier();
    if (block < p.blocks) table[thread * p.blocks + block] = counts[thread];
}
