// A workgroup for each digit: its counts become how many come in the blocks before, and in all.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "IndexSort.h"

layout(local_size_x = 256) in;
layout(set = 0, binding = 0) uniform Parameters { IndexSortParameters p; };
layout(set = 0, binding = 1, std430) buffer Table { uint table[]; };
layout(set = 0, binding = 2, std430) writeonly buffer Totals { uint totals[]; };
shared uint sums[256];

void main() {
    uint thread = gl_LocalInvocationIndex, digit = gl_WorkGroupID.x, before = 0u;
    for (uint first = 0u; first < p.blocks; first += 256u) {
        uint block = first + thread, at = digit * p.blocks + block;
        uint own = block < p.blocks ? table[at] : 0u;
        sums[thread] = own;
        barrier();
        for (uint reach = 1u; reach < 256u; reach *= 2u) {
            uint lower = thread >= reach ? sums[thread - reach] : 0u;
            barrier();
            sums[thread] += lower;
            barrier();
        }
        if (block < p.blocks) table[at] = before + sums[thread] - own;
        before += sums[255];
        barrier();
    }
    if (thread == 0u) totals[digit] = before;
}
