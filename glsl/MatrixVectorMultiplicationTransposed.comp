// result = alpha * transpose(matrix) * vector + beta * result; four columns an invocation, and 16
// invocations share the rows of the same four.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "MatrixMultiplication.h"
#include "matrix.glsl"

layout(local_size_x = 256) in;
layout(set = 0, binding = 0) uniform Parameters { MatrixMultiplicationParameters p; };
MATRIX_SOURCE(1, left)
MATRIX_SOURCE(2, right)
MATRIX_DESTINATION(3, result)
shared vec4 parts[256];

void main() {
    uint t = gl_LocalInvocationIndex, matrix = gl_WorkGroupID.z;
    uint column = (gl_WorkGroupID.x * 16u + t % 16u) * 4u;
    vec4 sum = vec4(0.0);
    if (column < p.result.columns)
        for (uint k = t / 16u; k < p.interior; k += 16u)
            sum += right_load(p.right, matrix, 0u, k) * left_load4(p.left, matrix, k, column);
    parts[t] = sum;
    barrier();
    if (t >= 16u || column >= p.result.columns) return;
    for (uint part = 1u; part < 16u; ++part) sum += parts[part * 16u + t];
    vec4 value = p.alpha * sum;
    if (p.beta != 0.0) value += p.beta * result_load4(p.result, matrix, 0u, column);
    result_store4(p.result, matrix, 0u, column, value);
}
