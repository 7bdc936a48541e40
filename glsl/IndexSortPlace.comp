// Every element of the list goes to its place by its digit; elements of one digit keep their order.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "indexSort.glsl"

layout(constant_id = 32) const bool isFirst = false; // the list's order is the given one
layout(set = 0, binding = 2, std430) readonly buffer Order { uint order[]; };
layout(set = 0, binding = 3, std430) readonly buffer Table { uint table[]; };
layout(set = 0, binding = 4, std430) readonly buffer Totals { uint totals[]; };
layout(set = 0, binding = 5, std430) writeonly buffer Keys { uint placedKeys[]; };
layout(set = 0, binding = 6, std430) writeonly buffer Placed { uint placedOrder[]; };
shared uint places[256]; // where the digit's next element goes
shared uint digits[256]; // of this round

void main() {
    uint thread = gl_LocalInvocationIndex;
    uint block = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
    uint total = totals[thread];
    places[thread] = total;
    barrier();
    for (uint reach = 1u; reach < 256u; reach *= 2u) {
        uint lower = thread >= reach ? places[thread - reach] : 0u;
        barrier();
        places[thread] += lower;
        barrier();
    }
    places[thread] += (block < p.blocks ? table[thread * p.blocks + block] : 0u) - total;
    for (uint round = 0u; round < sortBlock(); round += 256u) {
        uint i = block * sortBlock() + round + thread;
        bool isIn = i < p.count;
        uint key = isIn ? keyAt(i) : 0u;
        uint digit = isIn ? digitOf(key) : 256u;
        digits[thread] = digit;
        barrier();
        uint rank = 0u;
        for (uint other = 0u; other < thread; ++other) rank += uint(digits[other] == digit);
        if (isIn) {
            uint place = places[digit] + rank;
            placedKeys[place] = key;
            placedOrder[place] = isFirst ? i : order[i];
        }
        barrier();
        if (isIn) atomicAdd(places[digit], 1u);
        barrier();
    }
}
