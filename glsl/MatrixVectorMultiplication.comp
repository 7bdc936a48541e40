// result = alpha * matrix * vector + beta * result; a workgroup per row.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "MatrixMultiplication.h"
#include "matrix.glsl"

layout(local_size_x = 128) in;
layout(set = 0, binding = 0) uniform Parameters { MatrixMultiplicationParameters p; };
MATRIX_SOURCE(1, left)
MATRIX_SOURCE(2, right)
MATRIX_DESTINATION(3, result)
shared float parts[128];

void main() {
    uint t = gl_LocalInvocationIndex, matrix = gl_WorkGroupID.z;
    uint row = gl_WorkGroupID.x + gl_WorkGroupID.y * gl_NumWorkGroups.x;
    if (row >= p.result.columns) return; // the whole workgroup
    float sum = 0.0;
    for (uint k = 4u * t; k < p.interior; k += 512u)
        sum += dot(left_load4(p.left, matrix, row, k), right_load4(p.right, matrix, 0u, k));
    parts[t] = sum;
    barrier();
    for (uint step = 64u; step > 0u; step >>= 1) {
        if (t < step) parts[t] += parts[t + step];
        barrier();
    }
    if (t != 0u) return;
    float value = p.alpha * parts[0];
    if (p.beta != 0.0) value += p.beta * result_load(p.result, matrix, 0u, row);
    result_store(p.result, matrix, 0u, row, value);
}
