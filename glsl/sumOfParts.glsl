// Sums over the parts of a product, in a fixed order. A workgroup of 256 has PART_LANES elements (a power
// of two), of which as many invocations as fit take turns with the parts.
layout(local_size_x = 256) in;
layout(constant_id = 33) const uint PART_LANES = 256u;
layout(set = 0, binding = 1, std430) readonly buffer Partials {
    vec4 partials[];
};
#include "rowSums.glsl"

uint elementOfInvocation() {
    uint group = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
    return group * PART_LANES + gl_LocalInvocationID.x % PART_LANES;
}

// The invocation has the sum of an element, and no other has.
bool isResult(uint element, uint elements) {
    return element < elements && gl_LocalInvocationID.x < PART_LANES;
}

// Of partials[element + part * stride]. All of the workgroup must call.
vec4 sumOfParts(uint element, uint elements, uint stride, uint parts) {
    const uint turns = 256u / PART_LANES;
    uint at = min(element, elements - 1u);
    vec4 sum = vec4(0.0);
    // Eight loads at once, added up in order.
    for (uint part = gl_LocalInvocationID.x / PART_LANES; part < parts; part += 8u * turns) {
        vec4 next[8];
        [[unroll]] for (uint k = 0u; k < 8u; ++k) {
            next[k] = partials[at + min(part + k * turns, parts - 1u) * stride];
        }
        [[unroll]] for (uint k = 0u; k < 8u; ++k) {
            sum += part + k * turns < parts ? next[k] : vec4(0.0);
        }
    }
    return PART_LANES == 256u ? sum : sumOfRows(sum, PART_LANES);
}
