// Phase 1: c1 = F * c0 + I * C. Phase 2: h1 = O * gh(c1).
#version 450
#extension GL_GOOGLE_include_directive : require
#include "RNNForward.glsl"
#include "RNNLSTM.glsl"

layout(set = 0, binding = 11, std430) buffer Cell { vec4 cells[]; };

void main() {
    uint i = gridIndex();
    if (i >= p.rows * p.quads) return;
    uint row = i / p.quads, quad = i % p.quads;
    vec4 c1;
    if ((phases & 1u) != 0u) {
        vec4 c0 = previousCell(row, quad);
        vec4 I = activate0(gateSum(0u, row, quad) + peepholeOf(0u, quad) * c0, quad);
        vec4 F = activate1(gateSum(1u, row, quad) + peepholeOf(1u, quad) * c0, quad);
        vec4 C = activate2(gateSum(2u, row, quad) + peepholeOf(2u, quad) * c0, quad);
        c1 = inChannels(F * c0 + I * C, quad);
        cells[p.cell + i] = c1;
    } else {
        c1 = cells[p.cell + i];
    }
    if ((phases & 2u) == 0u) return;
    vec4 O = activate3(gateSum(3u, row, quad) + peepholeOf(3u, quad) * c1, quad);
    storeResult(row, quad, O * activate4(c1, quad));
}
