// da = dh * g'(a).
#version 450
#extension GL_GOOGLE_include_directive : require
#include "RNNGradient.glsl"

NEURON(0)

void main() {
    uint i = gridIndex();
    if (i >= p.rows * p.quads) return;
    uint row = i / p.quads, quad = i % p.quads;
    vec4 da = inChannels(outputGradient(row, quad) * derive0(gateSum(0u, row, quad), quad), quad);
    gateGradients[gateIndex(0u, row, quad)] = da;
    storeInputGradient(row, quad, da);
}
