// MatrixMultiplication for fp16 operands whose rows are whole chunks of eight elements.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_cooperative_matrix : require
#include "matrixProduct.glsl"
MATRIX_SOURCE(2, right)
layout(set = 0, binding = 1, std430) readonly buffer LeftChunks { uvec4 left_chunks[]; };
layout(set = 0, binding = 2, std430) readonly buffer RightChunks { uvec4 right_chunks[]; };
layout(constant_id = 32) const uint transposeLeft = 0u;
layout(constant_id = 33) const uint transposeRight = 0u;
const bool leftAlong = transposeLeft == 0u, rightAlong = transposeRight != 0u;
#include "cooperative.glsl"

uint firstRow, firstColumn, matrix, end, k0;

void advance() { k0 += depth; }

uvec4 leftChunk(uint i, uint row, uint k) {
    row += firstRow;
    k += k0;
    if (row >= p.result.rows || k >= end) return uvec4(0u);
    return left_chunks[elementIndex(p.left, matrix, leftAlong ? row : k, leftAlong ? k : row) >> 3];
}

uvec4 rightChunk(uint i, uint column, uint k) {
    column += firstColumn;
    k += k0;
    if (column >= p.result.columns || k >= end) return uvec4(0u);
    return right_chunks[elementIndex(p.right, matrix, rightAlong ? column : k,
                                     rightAlong ? k : column) >> 3];
}

void elementsStore(uint row, uint column, vec4 sums, vec4 next) {
    row += firstRow;
    column += firstColumn;
    if (row >= p.result.rows) return;
    if (column < p.result.columns)
        result_store4(p.result, gl_WorkGroupID.z, row, column,
                      finished(gl_WorkGroupID.z, row, column, sums, biasAt(matrix, column)));
    if (column + 4u < p.result.columns)
        result_store4(p.result, gl_WorkGroupID.z, row, column + 4u,
                      finished(gl_WorkGroupID.z, row, column + 4u, next,
                               biasAt(matrix, column + 4u)));
}

void main() {
    // Neighbouring workgroups share operands: bands of eight tiles down.
    uint id = gl_WorkGroupID.x, perBand = 8u * p.tilesAcross, band = id / perBand * 8u;
    uint high = min(8u, p.tilesDown - band), rest = id % perBand;
    firstRow = (band + rest % high) * tileRows;
    firstColumn = rest / high * tileColumns;
    matrix = gl_WorkGroupID.z / p.parts;
    k0 = gl_WorkGroupID.z % p.parts * p.partInterior;
    end = min(k0 + p.partInterior, p.interior);
    productRun((end - k0 + depth - 1u) / depth);
}
