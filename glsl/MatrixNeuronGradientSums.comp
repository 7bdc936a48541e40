// dx = alpha * t with t = g * f'(alpha * x + b), and the sums of t over parts of the rows. The grid
// is that of MatrixColumnSums.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "matrixNeuron.glsl"

layout(local_size_x = 256) in;
MATRIX_DESTINATION(4, result)
MATRIX_SOURCE(5, gradient)
MATRIX_DESTINATION(6, sums)
#include "rowSums.glsl"

void main() {
    uint i = gl_LocalInvocationIndex, part = gl_WorkGroupID.y, matrix = gl_WorkGroupID.z;
    uint column = (gl_WorkGroupID.x * p.lanes + i % p.lanes) * 4u;
    uint end = min((part + 1u) * p.splitRows, p.result.rows);
    vec4 sum = vec4(0.0);
    if (column < p.result.columns)
        for (uint row = part * p.splitRows + i / p.lanes; row < end; row += 256u / p.lanes) {
            vec4 t = gradient_load4(p.gradient, matrix, row, column) *
                     activatedSlope(matrix, row, column);
            result_store4(p.result, matrix, row, column, p.alpha * t);
            sum += t;
        }
    sum = sumOfRows(sum, p.lanes);
    if (i < p.lanes && column < p.result.columns) sums_store4(p.sums, matrix, part, column, sum);
}
