// Phase 1: the gradient of the output gate's sum, of which with full memory weights a product goes
// to dc. Phase 2: those of the other gates, and dc of the step before.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "RNNGradient.glsl"
#include "RNNLSTM.glsl"

layout(set = 0, binding = 11, std430) readonly buffer Cell { vec4 cells[]; };
layout(set = 0, binding = 13, std430) buffer CarriedCell { vec4 carriedCells[]; };
layout(set = 0, binding = 14, std430) buffer PeepholeSums { vec4 peepholeSums[]; };

void addToPeephole(uint gate, uint row, uint quad, vec4 value) {
    if (p.sumsPeepholes == 0u || !hasGate(p.peepholes, gate)) return;
    uint k = row * bitCount(p.peepholes) + indexOf(p.peepholes, gate);
    peepholeSums[p.peepholeSums + k * p.quads + quad] += value;
}

void main() {
    uint i = gridIndex();
    if (i >= p.rows * p.quads) return;
    uint row = i / p.quads, quad = i % p.quads;
    vec4 c1 = cells[p.cell + i], dh = outputGradient(row, quad);
    vec4 sumO = gateSum(3u, row, quad) + peepholeOf(3u, quad) * c1;
    vec4 daO = inChannels(dh * activate4(c1, quad) * derive3(sumO, quad), quad);
    if ((phases & 1u) != 0u) gateGradients[gateIndex(3u, row, quad)] = daO;
    if ((phases & 2u) == 0u) return;

    vec4 dc = carriedCells[p.carriedCell + i] + dh * activate3(sumO, quad) * derive4(c1, quad) +
              peepholeOf(3u, quad) * daO;
    vec4 c0 = previousCell(row, quad);
    vec4 sumI = gateSum(0u, row, quad) + peepholeOf(0u, quad) * c0;
    vec4 sumF = gateSum(1u, row, quad) + peepholeOf(1u, quad) * c0;
    vec4 sumC = gateSum(2u, row, quad) + peepholeOf(2u, quad) * c0;
    vec4 daI = inChannels(dc * activate2(sumC, quad) * derive0(sumI, quad), quad);
    vec4 daF = inChannels(dc * c0 * derive1(sumF, quad), quad);
    vec4 daC = inChannels(dc * activate0(sumI, quad) * derive2(sumC, quad), quad);
    gateGradients[gateIndex(0u, row, quad)] = daI;
    gateGradients[gateIndex(1u, row, quad)] = daF;
    gateGradients[gateIndex(2u, row, quad)] = daC;
    carriedCells[p.carriedCell + i] =
        inChannels(dc * activate1(sumF, quad) + peepholeOf(0u, quad) * daI +
                       peepholeOf(1u, quad) * daF + peepholeOf(2u, quad) * daC, quad);
    storeInputGradient(row, quad, daI + daF + daC + daO);
    addToPeephole(0u, row, quad, daI * c0);
    addToPeephole(1u, row, quad, daF * c0);
    addToPeephole(2u, row, quad, daC * c0);
    addToPeephole(3u, row, quad, daO * c1);
}
