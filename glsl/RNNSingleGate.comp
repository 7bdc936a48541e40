// h1 = g(a), with a the sum of the products.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "RNNForward.glsl"

NEURON(0)

void main() {
    uint i = gridIndex();
    if (i >= p.rows * p.quads) return;
    uint row = i / p.quads, quad = i % p.quads;
    storeResult(row, quad, activate0(gateSum(0u, row, quad), quad));
}
