// What the gradient shaders of recurrent layers share beyond RNNStep.glsl.
#ifndef MPSVK_RNNGRADIENT_GLSL
#define MPSVK_RNNGRADIENT_GLSL

#include "RNNStep.glsl"

MATRIX_SOURCE(6, outer)
MATRIX_DESTINATION(7, inputGradients)
layout(set = 0, binding = 8, std430) buffer GateGradients { vec4 gateGradients[]; };
// From the time steps after this one.
layout(set = 0, binding = 9, std430) buffer Carried { vec4 carried[]; };

uint gateIndex(uint gate, uint row, uint quad) {
    return p.gateGradients + (row * p.gateCount + gate) * p.quads + quad;
}
vec4 outputGradient(uint row, uint quad) {
    return outer_load4(p.outer, 0u, row, quad * 4u) +
           carried[p.carried + row * p.quads + quad];
}
void storeInputGradient(uint row, uint quad, vec4 value) {
    if (p.writesInputGradients != 0u)
        inputGradients_store4(p.inputGradients, 0u, row, quad * 4u, value);
}

#endif
