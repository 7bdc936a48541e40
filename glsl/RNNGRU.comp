// Phase 1: r * h0 and z * h0, for the products with Uh and Vh. Phase 2: h1.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "RNNForward.glsl"
#include "RNNGRU.glsl"

layout(set = 0, binding = 11, std430) writeonly buffer Mixed { vec4 mixed[]; };

void main() {
    uint i = gridIndex();
    if (i >= p.rows * p.quads) return;
    uint row = i / p.quads, quad = i % p.quads;
    vec4 h0 = previousOutput(row, quad);
    vec4 z = activate0(gateSum(0u, row, quad), quad);
    if (phases == 1u) {
        uint at = p.mixed + row * bitCount(p.mixes) * p.quads + quad;
        if ((p.mixes & 1u) != 0u)
            mixed[at] = inChannels(activate1(gateSum(1u, row, quad), quad) * h0, quad);
        if ((p.mixes & 2u) != 0u)
            mixed[at + (p.mixes & 1u) * p.quads] = inChannels(z * h0, quad);
        return;
    }
    vec4 h = activate2(gateSum(2u, row, quad), quad), k = complement(z);
    storeResult(row, quad, p.flip != 0u ? k * h0 + z * h : k * h + z * h0);
}
