// Products of matrices by the tiles of cooperative.glsl.
#include "matrixProduct.glsl"
MATRIX_SOURCE(2, right)
layout(constant_id = 32) const uint transposeLeft = 0u;
layout(constant_id = 33) const uint transposeRight = 0u;
// Tiles that lie below the diagonal are left out (MatrixMultiplicationMirror).
layout(constant_id = 38) const uint symmetric = 0u;
const bool leftAlong = transposeLeft == 0u, rightAlong = transposeRight != 0u;
const bool advancesAmidProducts = false;
#ifndef MPSVK_BFLOAT16
// Results are products times alpha, in fp16, and their rows whole chunks of eight.
layout(constant_id = 51) const bool STORES_PRODUCTS = false;
#define STORES_HALVES STORES_PRODUCTS
#define SUMS_FACTOR p.alpha
#endif
#include "cooperative.glsl"

uint firstRow, firstColumn, matrix, end, k0;

void advance() { k0 += depth; }

#ifdef MPSVK_BFLOAT16
#define LOAD_CHUNK(NAME, ROW, COLUMN) NAME##_loadAligned(p.NAME, matrix, ROW, COLUMN)
#else
#define LOAD_CHUNK(NAME, ROW, COLUMN) NAME##_half8[elementIndex(p.NAME, matrix, ROW, COLUMN) >> 3]
#endif

Chunk leftChunk(uint i, uint row, uint k) {
    row += firstRow;
    k += k0;
    if (row >= p.result.rows || k >= end) return Chunk(0);
    return LOAD_CHUNK(left, leftAlong ? row : k, leftAlong ? k : row);
}

Chunk rightChunk(uint i, uint column, uint k) {
    column += firstColumn;
    k += k0;
    if (column >= p.result.columns || k >= end) return Chunk(0);
    return LOAD_CHUNK(right, rightAlong ? column : k, rightAlong ? k : column);
}

void resultStore(uint row, uint column, vec4 sums) {
    if (row < p.result.rows && column < p.result.columns)
        result_store4(p.result, gl_WorkGroupID.z, row, column,
                      finished(gl_WorkGroupID.z, row, column, sums, biasAt(matrix, column)));
}

#ifdef MPSVK_BFLOAT16
void elementsStore(uint row, uint column, vec4 sums) {
    resultStore(firstRow + row, firstColumn + column, sums);
}
#else
void halvesStore(uint row, uint column, uvec4 results) {
    row += firstRow;
    column += firstColumn;
    if (row < p.result.rows && column < p.result.columns)
        result_half8[elementIndex(p.result, gl_WorkGroupID.z, row, column) >> 3] = results;
}

void elementsStore(uint row, uint column, vec4 sums, vec4 next) {
    resultStore(firstRow + row, firstColumn + column, sums);
    resultStore(firstRow + row, firstColumn + column + 4u, next);
}
#endif

void main() {
    // Neighbouring workgroups share operands: bands of eight tiles down.
    uint id = gl_WorkGroupID.x, perBand = 8u * p.tilesAcross, band = id / perBand * 8u;
    uint high = min(8u, p.tilesDown - band), rest = id % perBand;
    firstRow = (band + rest % high) * tileRows;
    firstColumn = rest / high * tileColumns;
    if (symmetric != 0u && firstRow >= firstColumn + tileColumns) return;
    matrix = gl_WorkGroupID.z / p.parts;
    k0 = gl_WorkGroupID.z % p.parts * p.partInterior;
    end = min(k0 + p.partInterior, p.interior);
    productRun((end - k0 + depth - 1u) / depth);
}
