// A graph's activation between the pooling's source and what made that: its derivative, told from the
// source, is a factor of the gradient. The includer has declared `p` and the image `source`.
#ifndef MPSVK_POOLINGDERIVATIVE_GLSL
#define MPSVK_POOLINGDERIVATIVE_GLSL

#include "neuron.glsl"

layout(set = 0, binding = 5, std430) readonly buffer Slopes { float slopes[]; };
layout(constant_id = 35) const uint neuron = 0u; // CNNNeuronType; neuronNone: there is none

vec4 derivativeAt(vec4 result, uint slice) {
    vec4 a = vec4(p.neuronA);
    if (neuron == neuronPReLU) {
        uvec4 channel = min(slice * 4u + uvec4(0u, 1u, 2u, 3u), uvec4(p.source.channels - 1u));
        a = vec4(slopes[channel.x], slopes[channel.y], slopes[channel.z], slopes[channel.w]);
    }
    return neuronDerivativeFromResult(neuron, result, a, vec4(p.neuronB));
}

#endif
