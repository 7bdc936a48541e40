// Products of matrices without shared memory, for CPU drivers, whose loads take long: an invocation computes
// four rows of sixteen columns, a workgroup of eight 32 rows of them. With MPSVK_SUBGROUP, for subgroups of
// eight or more, the eight share the work of loading the right operand.
#extension GL_EXT_control_flow_attributes : require
layout(local_size_x = 8) in;
#include "grid.glsl"
#include "matrixProduct.glsl"

MATRIX_SOURCE(2, right)
layout(constant_id = 32) const uint transposeLeft = 0u;
layout(constant_id = 33) const uint transposeRight = 0u;
// Rows of all operands are aligned and whole groups of four, as many as divide by four, and so is the interior.
layout(constant_id = 37) const bool WHOLE = false;
// What lies above the diagonal is computed, and stored on both sides of it.
layout(constant_id = 38) const uint symmetric = 0u;

uint matrix, row, column; // the invocation's first

// Elements (row + 0...3, k) of op(left), zeros beyond its last row.
vec4 leftColumn(uint k) {
    if (transposeLeft != 0u) return left_load4(p.left, matrix, k, row);
    vec4 values = vec4(0.0);
    [[unroll]] for (uint i = 0u; i < 4u; ++i)
        if (row + i < p.result.rows) values[i] = left_load(p.left, matrix, row + i, k);
    return values;
}

// Elements (k, first + 0...3) of op(right), zeros beyond its last column.
vec4 rightRow(uint k, uint first) {
    if (transposeRight == 0u) return right_load4(p.right, matrix, k, first);
    vec4 values = vec4(0.0);
    [[unroll]] for (uint i = 0u; i < 4u; ++i)
        if (first + i < p.result.columns) values[i] = right_load(p.right, matrix, first + i, k);
    return values;
}

// Columns k + 0...3 of four rows of op(left); zeros beyond its end.
mat4 leftBlock(uint k) {
    mat4 block;
    [[unroll]] for (uint i = 0u; i < 4u; ++i) {
        if (!WHOLE)
            block[i] = k + i < p.interior ? leftColumn(k + i) : vec4(0.0);
        else if (transposeLeft != 0u)
            block[i] = left_loadAligned(p.left, matrix, k + i, min(row, p.result.rows - 4u));
        else
            block[i] = left_loadAligned(p.left, matrix, min(row + i, p.result.rows - 1u), k);
    }
    return WHOLE && transposeLeft == 0u ? transpose(block) : block;
}

// Of four rows and sixteen columns of op(right) the texel j: of row k + j / 4, or where that lies along the
// interior of column j.
const bool rightAlong = WHOLE && transposeRight != 0u;
vec4 rightTexel(uint k, uint j) {
    if (rightAlong) return right_loadAligned(p.right, matrix, min(column + j, p.result.columns - 1u), k);
    uint first = column + j % 4u * 4u;
    if (WHOLE)
        return right_loadAligned(p.right, matrix, k + j / 4u, min(first, p.result.columns - 4u));
    return k + j / 4u < p.interior ? rightRow(k + j / 4u, first) : vec4(0.0);
}

#ifdef MPSVK_SUBGROUP
#define TEXEL(J) subgroupBroadcast(texels[(J) / 8u], (J) % 8u)
#else
#define TEXEL(J) texels[J]
#endif
#define MULTIPLY(N)                                                                                \
    {                                                                                              \
        mat4 b = rightAlong ? transpose(mat4(TEXEL(4u * N), TEXEL(4u * N + 1u), TEXEL(4u * N + 2u),\
                                             TEXEL(4u * N + 3u)))                                  \
                            : mat4(TEXEL(N), TEXEL(4u + N), TEXEL(8u + N), TEXEL(12u + N));        \
        [[unroll]] for (uint e = 0u; e < 4u; ++e)                                                  \
            [[unroll]] for (uint r = 0u; r < 4u; ++r)                                              \
                sums[N][r] = fma(vec4(a[e][r]), b[e], sums[N][r]);                                 \
    }

void storeRows(uint firstRow, uint firstColumn, mat4 rows, vec4 bias) {
    for (uint r = 0u; r < 4u && firstRow + r < p.result.rows; ++r)
        result_store4(p.result, matrix, firstRow + r, firstColumn,
                      finished(matrix, firstRow + r, firstColumn, rows[r], bias));
}

void main() {
    uint tile = gridIndex() / gl_WorkGroupSize.x;
    uint firstRow = tile % p.tilesDown * 32u;
    tile /= p.tilesDown;
    row = firstRow + gl_LocalInvocationID.x * 4u;
    column = tile % p.tilesAcross * 16u;
    matrix = tile / p.tilesAcross;
    if (matrix >= p.matrices || (symmetric != 0u && firstRow > column + 15u)) return;
    mat4 sums[4]; // of four columns each, row by row
    [[unroll]] for (uint n = 0u; n < 4u; ++n) sums[n] = mat4(0.0);
    for (uint k = 0u; k < p.interior; k += 4u) {
#ifdef MPSVK_SUBGROUP
        uint share = gl_SubgroupInvocationID % 8u;
        vec4 texels[2] = vec4[2](rightTexel(k, share), rightTexel(k, 8u + share));
#else
        vec4 texels[16];
        for (uint j = 0u; j < 16u; ++j) texels[j] = rightTexel(k, j);
#endif
        mat4 a = leftBlock(k);
        MULTIPLY(0u) MULTIPLY(1u) MULTIPLY(2u) MULTIPLY(3u)
    }
    [[dont_unroll]] for (uint n = 0u; n < 4u; ++n) {
        uint first = column + 4u * n;
        mat4 rows = n == 0u ? sums[0] : n == 1u ? sums[1] : n == 2u ? sums[2] : sums[3];
        if (first < p.result.columns && (symmetric == 0u || row <= first)) {
            storeRows(row, first, rows, biasAt(matrix, first));
            if (symmetric != 0u && row != first) storeRows(first, row, transpose(rows), vec4(0.0));
        }
    }
}
