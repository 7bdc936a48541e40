// y = f(alpha * x + b).
#version 450
#extension GL_GOOGLE_include_directive : require
layout(local_size_x = 256) in;
#include "matrixGrid.glsl"
#include "matrixNeuron.glsl"

MATRIX_DESTINATION(4, result)

void main() {
    MatrixPlace at = placeOfInvocation(p.result.rows, p.result.columns, p.matrices);
    if (!at.exists) return;
    result_store4(p.result, at.matrix, at.row, at.column, activated(at.matrix, at.row, at.column));
}
