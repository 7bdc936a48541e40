// What the batch normalization kernels share: the channels' numbers, and the way from x to z.
#ifndef MPSVK_BATCHNORMALIZATION_GLSL
#define MPSVK_BATCHNORMALIZATION_GLSL

layout(local_size_x = 256) in;
#include "neuron.glsl"
#include "pixel.glsl"
#include "walk.glsl"

layout(set = 0, binding = 0) uniform Parameters { CNNBatchNormalizationParameters p; };
layout(constant_id = 32) const uint type = 0u; // CNNNeuronType

// Declares `vec4 N_of(uint slice)`: an array with a float per channel of the source, four at once.
#define CHANNELS(B, N)                                                                             \
    layout(set = 0, binding = B, std430) readonly buffer N##_Channels { float N##_array[]; };      \
    layout(set = 0, binding = B, std430) readonly buffer N##_Slices { vec4 N##_slices[]; };        \
    vec4 N##_of(uint slice) {                                                                      \
        if (wholeTexels != 0u) return N##_slices[min(slice, p.source.channels / 4u - 1u)];         \
        uvec4 at = min(slice * 4u + uvec4(0u, 1u, 2u, 3u), uvec4(p.source.channels - 1u));         \
        return vec4(N##_array[at.x], N##_array[at.y], N##_array[at.z], N##_array[at.w]);           \
    }

CHANNELS(4, gamma)
CHANNELS(5, beta)
CHANNELS(6, mean)
CHANNELS(7, variance)
CHANNELS(8, slopes)

// The numbers of a slice's channels. An invocation whose slice is beyond the last gets the last's.
struct Normalization {
    vec4 mean, inverseDeviation, gamma, beta, slope;
};

Normalization normalizationOf(uint slice) {
    Normalization n;
    n.mean = mean_of(slice);
    n.inverseDeviation = inversesqrt(variance_of(slice) + p.epsilon);
    n.gamma = gamma_of(slice);
    n.beta = beta_of(slice);
    n.slope = type == neuronPReLU ? slopes_of(slice) : vec4(p.a);
    return n;
}

// Of all slices of an invocation.
Normalization[2] normalizationsOf(uint slice) {
    Normalization first = normalizationOf(slice);
    return Normalization[2](first, texels == 2u ? normalizationOf(slice + 1u) : first);
}

// x is near the mean where the deviation is small: the difference comes first.
vec4 normalized(Normalization n, vec4 x) { return (x - n.mean) * n.inverseDeviation; }

// dL/dz from dL/dy.
vec4 throughNeuron(Normalization n, vec4 gradient, vec4 normalizedX) {
    if (type == neuronNone) return gradient;
    return gradient *
           neuronDerivative(type, n.gamma * normalizedX + n.beta, n.slope, vec4(p.b), vec4(p.c));
}

#endif
