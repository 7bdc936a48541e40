// The activation's input alpha*x + b of four elements of a matrix, and its parameters there.
#ifndef MPSVK_MATRIXNEURON_GLSL
#define MPSVK_MATRIXNEURON_GLSL

#include "MatrixNeuron.h"
#include "matrix.glsl"
#include "neuron.glsl"

layout(set = 0, binding = 0) uniform Parameters { MatrixNeuronParameters p; };
MATRIX_SOURCE(1, source)
MATRIX_SOURCE(2, bias)
layout(set = 0, binding = 3, std430) readonly buffer Slopes { float slopes[]; };
layout(constant_id = 32) const uint type = 0u; // CNNNeuronType
layout(constant_id = 33) const uint hasBias = 0u;

vec4 neuronInput(uint matrix, uint row, uint column) {
    vec4 x = p.alpha * source_load4(p.source, matrix, row, column);
    if (hasBias == 0u) return x;
    if (p.channels == p.source.columns) return x + bias_load4(p.bias, matrix, 0u, column);
    for (uint i = 0u; i < 4u; ++i) x[i] += bias_load(p.bias, matrix, 0u, (column + i) % p.channels);
    return x;
}

vec4 neuronA(uint column) {
    vec4 a = vec4(p.a);
    if (type == neuronPReLU)
        for (uint i = 0u; i < 4u; ++i) a[i] = slopes[(column + i) % p.channels];
    return a;
}

vec4 activated(uint matrix, uint row, uint column) {
    return neuronForward(type, neuronInput(matrix, row, column), neuronA(column), vec4(p.b),
                         vec4(p.c));
}

vec4 activatedSlope(uint matrix, uint row, uint column) {
    return neuronDerivative(type, neuronInput(matrix, row, column), neuronA(column), vec4(p.b),
                            vec4(p.c));
}

#endif
