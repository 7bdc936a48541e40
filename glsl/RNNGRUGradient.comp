// Phase 1: the gradient of the output gate's sum, for the products with Uh and Vh. Phase 2: those
// of the other gates, and what goes to the step before without a product.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "RNNGradient.glsl"
#include "RNNGRU.glsl"

layout(set = 0, binding = 11, std430) readonly buffer MixedGradients { vec4 mixedGradients[]; };

void main() {
    uint i = gridIndex();
    if (i >= p.rows * p.quads) return;
    uint row = i / p.quads, quad = i % p.quads;
    vec4 dh1 = outputGradient(row, quad);
    vec4 sumZ = gateSum(0u, row, quad), sumH = gateSum(2u, row, quad);
    vec4 z = activate0(sumZ, quad), k = complement(z);
    vec4 daH = inChannels(dh1 * (p.flip != 0u ? z : k) * derive2(sumH, quad), quad);
    if ((phases & 1u) != 0u) gateGradients[gateIndex(2u, row, quad)] = daH;
    if ((phases & 2u) == 0u) return;

    vec4 h0 = previousOutput(row, quad), h = activate2(sumH, quad), slope = complementSlope(z);
    vec4 dz = dh1 * (p.flip != 0u ? h + h0 * slope : h0 + h * slope);
    vec4 dh0 = dh1 * (p.flip != 0u ? k : z);
    vec4 daR = vec4(0.0);
    uint at = p.mixedGradients + row * bitCount(p.mixes) * p.quads + quad;
    if ((p.mixes & 1u) != 0u) {
        vec4 sumR = gateSum(1u, row, quad), ds = mixedGradients[at];
        daR = inChannels(ds * h0 * derive1(sumR, quad), quad);
        dh0 += ds * activate1(sumR, quad);
    }
    if ((p.mixes & 2u) != 0u) {
        vec4 dq = mixedGradients[at + (p.mixes & 1u) * p.quads];
        dz += dq * h0;
        dh0 += dq * z;
    }
    vec4 daZ = inChannels(dz * derive0(sumZ, quad), quad);
    gateGradients[gateIndex(0u, row, quad)] = daZ;
    gateGradients[gateIndex(1u, row, quad)] = daR;
    carried[p.carried + i] = inChannels(dh0, quad);
    storeInputGradient(row, quad, daZ + daR + daH);
}
