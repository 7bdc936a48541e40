// What the shaders of a recurrent layer's time step share: an invocation has four channels of a
// row.
#ifndef MPSVK_RNNSTEP_GLSL
#define MPSVK_RNNSTEP_GLSL

#include "RNN.h"
layout(local_size_x = 64) in;
#include "grid.glsl"
#include "matrix.glsl"
#include "neuron.glsl"

layout(set = 0, binding = 0) uniform Parameters { RNNStepParameters p; };
layout(set = 0, binding = 1, std430) readonly buffer Gates { vec4 gates[]; };
MATRIX_SOURCE(2, bias)
MATRIX_SOURCE(3, inputs)
layout(set = 0, binding = 4, std430) readonly buffer Slopes { vec4 slopes[]; };
// Types of the neurons: of the gates, and of an LSTM's cell on its way to the output.
layout(constant_id = 32) const uint type0 = 0u;
layout(constant_id = 33) const uint type1 = 0u;
layout(constant_id = 34) const uint type2 = 0u;
layout(constant_id = 35) const uint type3 = 0u;
layout(constant_id = 36) const uint type4 = 0u;
// Where a product must stand between two parts of the step they are dispatches of their own: 1 and
// 2; else 3.
layout(constant_id = 37) const uint phases = 3u;

#define NEURON(I)                                                                                  \
    vec4 slope##I(uint quad) {                                                                     \
        return type##I == neuronPReLU ? slopes[uint(I) * p.quads + quad] : vec4(p.a##I);           \
    }                                                                                              \
    vec4 activate##I(vec4 x, uint quad) {                                                          \
        return neuronForward(type##I, x, slope##I(quad), vec4(p.b##I), vec4(p.c##I));              \
    }                                                                                              \
    vec4 derive##I(vec4 x, uint quad) {                                                            \
        return neuronDerivative(type##I, x, slope##I(quad), vec4(p.b##I), vec4(p.c##I));           \
    }

bool hasGate(uint mask, uint gate) { return (mask >> gate & 1u) != 0u; }
uint indexOf(uint mask, uint gate) { return bitCount(mask & ((1u << gate) - 1u)); }

// The products' sum with bias and, where input weights are identities, the source.
vec4 gateSum(uint gate, uint row, uint quad) {
    vec4 sum = gates[p.gates + (row * p.gateCount + gate) * p.quads + quad];
    if (hasGate(p.biasedGates, gate))
        sum += bias_load4(p.bias, 0u, 0u, (indexOf(p.biasedGates, gate) * p.quads + quad) * 4u);
    if (p.addsUnitInput != 0u) sum += inputs_load4(p.inputs, 0u, row, quad * 4u);
    return sum;
}

// Zeros beyond the last channel.
vec4 inChannels(vec4 value, uint quad) {
    return mix(vec4(0.0), value,
               lessThan(uvec4(quad * 4u) + uvec4(0u, 1u, 2u, 3u), uvec4(p.channels)));
}

#endif
