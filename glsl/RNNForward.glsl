// What the forward shaders of recurrent layers share beyond RNNStep.glsl.
#ifndef MPSVK_RNNFORWARD_GLSL
#define MPSVK_RNNFORWARD_GLSL

#include "RNNStep.glsl"

layout(set = 0, binding = 5, std430) writeonly buffer Result { vec4 results[]; };
MATRIX_DESTINATION(6, outer)

void storeResult(uint row, uint quad, vec4 value) {
    results[p.result + row * p.quads + quad] = inChannels(value, quad);
    if (p.addsToOuter != 0u) value += outer_load4(p.outer, 0u, row, quad * 4u);
    outer_store4(p.outer, 0u, row, quad * 4u, value);
}

#endif
