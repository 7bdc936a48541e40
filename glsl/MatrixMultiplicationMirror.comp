// The end of a product that is symmetric and of which the tiles on and above the diagonal were computed:
// adds the parts up, which lie as MatrixMultiplicationParts has them, and stores each element on both
// sides of the diagonal.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "matrixBlocks.glsl"
#include "matrixProduct.glsl"

void store(MatrixBlock at, uint row, uint column, mat4 sums) {
    [[unroll]] for (uint r = 0u; r < 4u; ++r)
        if (row + r < p.result.rows)
            result_store4(p.result, at.matrix, row + r, column,
                          finished(at.matrix, row + r, column, sums[r], vec4(0.0)));
}

void main() {
    MatrixBlock at = blockOfInvocation(p.result.rows, p.result.columns, p.matrices);
    if (!at.exists || at.row > at.column) return;
    mat4 sums = mat4(0.0);
    for (uint part = 0u; part < p.parts; ++part)
        [[unroll]] for (uint r = 0u; r < 4u; ++r)
            if (at.row + r < p.result.rows)
                sums[r] += left_load4(p.left, at.matrix * p.parts + part, at.row + r, at.column);
    mat4 mirrored = transpose(sums);
    if (at.row == at.column) { // symmetric to the bit, whatever the sums below the diagonal are
        [[unroll]] for (uint r = 0u; r < 4u; ++r)
            [[unroll]] for (uint c = 0u; c < r; ++c) sums[r][c] = mirrored[r][c];
    } else {
        store(at, at.column, at.row, mirrored);
    }
    store(at, at.row, at.column, sums);
}
