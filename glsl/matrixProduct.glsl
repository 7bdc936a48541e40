// How a product of matrices ends: result = alpha * product + beta * result + bias.
#ifndef MPSVK_MATRIXPRODUCT_GLSL
#define MPSVK_MATRIXPRODUCT_GLSL

#include "MatrixMultiplication.h"
#include "matrix.glsl"

layout(set = 0, binding = 0) uniform Parameters { MatrixMultiplicationParameters p; };
MATRIX_SOURCE(1, left)
MATRIX_DESTINATION(3, result)
MATRIX_SOURCE(4, bias)
layout(constant_id = 35) const uint hasBias = 0u;

vec4 biasAt(uint matrix, uint column) {
    return hasBias != 0u && column < p.result.columns ? bias_load4(p.bias, matrix, 0u, column)
                                                      : vec4(0.0);
}

// Of four elements of a row; `product` without alpha. With `former` what the result holds.
vec4 finishedFrom(vec4 former, vec4 product, vec4 bias) {
    vec4 value = p.alpha * product;
    if (p.beta != 0.0) value += p.beta * former;
    return hasBias != 0u ? value + bias : value;
}

vec4 finished(uint matrix, uint row, uint column, vec4 product, vec4 bias) {
    vec4 former = p.beta != 0.0 ? result_load4(p.result, matrix, row, column) : vec4(0.0);
    return finishedFrom(former, product, bias);
}

vec4 finishedAligned(uint matrix, uint row, uint column, vec4 product, vec4 bias) {
    vec4 former = p.beta != 0.0 ? result_loadAligned(p.result, matrix, row, column) : vec4(0.0);
    return finishedFrom(former, product, bias);
}

#endif
