// Four channels of a batch normalization: columns of a matrix.
#ifndef MPSVK_MATRIXBATCHNORMALIZATION_GLSL
#define MPSVK_MATRIXBATCHNORMALIZATION_GLSL

#include "MatrixBatchNormalization.h"
#include "matrix.glsl"
#include "neuron.glsl"

layout(set = 0, binding = 0) uniform Parameters { MatrixBatchNormalizationParameters p; };
MATRIX_SOURCE(1, source)
MATRIX_DESTINATION(2, result)
MATRIX_SOURCE(5, gamma)
MATRIX_SOURCE(6, beta)
layout(constant_id = 32) const uint type = neuronNone;
layout(constant_id = 33) const uint hasGamma = 0u;
layout(constant_id = 34) const uint hasBeta = 0u;
layout(constant_id = 35) const uint work = normalizationResult;

struct Channels {
    vec4 mean, inverse, gamma, beta; // inverse: of the standard deviation
};

Channels channelsAt(uint matrix, uint column, vec4 mean, vec4 variance) {
    Channels c = Channels(mean, inversesqrt(variance + p.epsilon), vec4(1.0), vec4(0.0));
    if (hasGamma != 0u) c.gamma = gamma_load4(p.gamma, matrix, 0u, column);
    if (hasBeta != 0u) c.beta = beta_load4(p.beta, matrix, 0u, column);
    return c;
}

vec4 normalized(Channels c, uint matrix, uint row, uint column) {
    return (source_load4(p.source, matrix, row, column) - c.mean) * c.inverse;
}

#endif
