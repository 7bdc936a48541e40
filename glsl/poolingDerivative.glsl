// A graph's activation between the pooling's source and what made that: its derivative, told from the
// source, is a factor of the gradient. The includer has declared `p` and the image `source`.
#ifndef MPSVK_POOLINGDERIVATIVE_GLSL
#define MPSVK_POOLINGDERIVATIVE_GLSL

#include "neuron.glsl"

NEURON_SLOPES(5)
layout(constant_id = 35) const uint neuron = 0u; // CNNNeuronType; neuronNone: there is none

vec4 derivativeAt(vec4 result, uint slice) {
    vec4 a = slopesOf(neuron, p.neuronA, slice, p.source.channels);
    return neuronDerivativeFromResult(neuron, result, a, vec4(p.neuronB));
}

#endif
