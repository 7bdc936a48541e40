// Products of matrices, four by four elements an invocation, without shared memory: for
// CPU drivers.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "grid.glsl"
#include "matrixProduct.glsl"

layout(local_size_x = 64) in;
MATRIX_SOURCE(2, right)
layout(constant_id = 32) const uint transposeLeft = 0u;
layout(constant_id = 33) const uint transposeRight = 0u;
// What lies above the diagonal is computed, and stored on both sides of it.
layout(constant_id = 38) const uint symmetric = 0u;

// Elements (row + 0...3, k) of op(left), zeros beyond its last row.
vec4 leftColumn(uint matrix, uint row, uint k) {
    if (transposeLeft != 0u) return left_load4(p.left, matrix, k, row);
    vec4 values = vec4(0.0);
    for (uint i = 0u; i < 4u; ++i)
        if (row + i < p.result.rows) values[i] = left_load(p.left, matrix, row + i, k);
    return values;
}

vec4 rightRow(uint matrix, uint k, uint column) {
    if (transposeRight == 0u) return right_load4(p.right, matrix, k, column);
    vec4 values = vec4(0.0);
    for (uint i = 0u; i < 4u; ++i)
        if (column + i < p.result.columns) values[i] = right_load(p.right, matrix, column + i, k);
    return values;
}

void main() {
    uint i = gridIndex();
    uint across = (p.result.columns + 3u) / 4u, down = (p.result.rows + 3u) / 4u;
    if (i >= across * down * p.matrices) return;
    uint column = i % across * 4u, row = i / across % down * 4u, matrix = i / across / down;
    if (symmetric != 0u && row > column) return;
    mat4 sums = mat4(0.0);
    for (uint k = 0u; k < p.interior; ++k) {
        vec4 a = leftColumn(matrix, row, k), b = rightRow(matrix, k, column);
        sums += outerProduct(b, a);
    }
    vec4 bias = biasAt(matrix, column);
    for (uint r = 0u; r < 4u && row + r < p.result.rows; ++r)
        result_store4(p.result, matrix, row + r, column,
                      finished(matrix, row + r, column, sums[r], bias));
    if (symmetric == 0u || row == column) return;
    sums = transpose(sums);
    for (uint r = 0u; r < 4u && column + r < p.result.rows; ++r)
        result_store4(p.result, matrix, column + r, row,
                      finished(matrix, column + r, row, sums[r], vec4(0.0)));
}
