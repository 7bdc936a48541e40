// With t = g * f'(gamma * n + beta), n the normalized source: the gradients of beta and gamma are
// the sums over the rows of t and of t * n, that of the source is gamma * (t - (the former + n *
// the latter) / rows) / sqrt(variance + epsilon), or without what is subtracted where the
// statistics are constants. The grid is that of MatrixBatchNormalization.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "matrixBatchNormalization.glsl"

layout(local_size_x = 256) in;
MATRIX_SOURCE(3, mean)
MATRIX_SOURCE(4, variance)
MATRIX_DESTINATION(7, first)  // sums of gamma's gradient
MATRIX_DESTINATION(8, second) // of beta's
MATRIX_SOURCE(9, gradient)
MATRIX_DESTINATION(10, gradientGamma)
MATRIX_DESTINATION(11, gradientBeta)
layout(constant_id = 36) const uint isFrozen = 0u;
layout(constant_id = 37) const uint wantsGamma = 0u;
layout(constant_id = 38) const uint wantsBeta = 0u;
#include "rowSums.glsl"

vec4 neuronGradient(Channels c, vec4 n, uint matrix, uint row, uint column) {
    vec4 slope = neuronDerivative(type, c.gamma * n + c.beta, vec4(p.a), vec4(p.b), vec4(p.c));
    return gradient_load4(p.gradient, matrix, row, column) * slope;
}

void main() {
    uint i = gl_LocalInvocationIndex, part = gl_WorkGroupID.y, matrix = gl_WorkGroupID.z;
    uint column = (gl_WorkGroupID.x * p.lanes + i % p.lanes) * 4u, step = 256u / p.lanes;
    bool exists = column < p.source.columns;
    uint begin = part * p.splitRows + i / p.lanes;
    uint end = exists ? min((part + 1u) * p.splitRows, p.source.rows) : 0u;
    Channels c = Channels(vec4(0.0), vec4(0.0), vec4(0.0), vec4(0.0));
    if (exists)
        c = channelsAt(matrix, column, mean_load4(p.mean, matrix, 0u, column),
                       variance_load4(p.variance, matrix, 0u, column));
    vec4 sumGamma = vec4(0.0), sumBeta = vec4(0.0);
    if (work != normalizationResult) {
        for (uint row = begin; row < end; row += step) {
            vec4 n = normalized(c, matrix, row, column);
            vec4 t = neuronGradient(c, n, matrix, row, column);
            sumGamma += t * n;
            sumBeta += t;
        }
        sumGamma = sumOfRows(sumGamma, p.lanes);
        barrier();
        sumBeta = sumOfRows(sumBeta, p.lanes);
        if (i < p.lanes && exists) {
            if (work == normalizationPart) {
                first_store4(p.first, matrix, part, column, sumGamma);
                second_store4(p.second, matrix, part, column, sumBeta);
            } else {
                if (wantsGamma != 0u)
                    gradientGamma_store4(p.gradientGamma, matrix, 0u, column, sumGamma);
                if (wantsBeta != 0u)
                    gradientBeta_store4(p.gradientBeta, matrix, 0u, column, sumBeta);
            }
        }
        if (work == normalizationPart) return;
    } else if (exists && isFrozen == 0u) {
        sumGamma = first_load4(p.first, matrix, 0u, column);
        sumBeta = second_load4(p.second, matrix, 0u, column);
    }
    if (!exists) return;
    float share = 1.0 / float(p.source.rows);
    for (uint row = begin; row < end; row += step) {
        vec4 n = normalized(c, matrix, row, column);
        vec4 t = neuronGradient(c, n, matrix, row, column);
        if (isFrozen == 0u) t -= (sumBeta + n * sumGamma) * share;
        result_store4(p.result, matrix, row, column, c.gamma * c.inverse * t);
    }
}
