// The mean of G and its transpose, which is no larger than they are in any format. Of two blocks that
// mirror each other an invocation writes both.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "NNGramMatrixCalculation.h"
#include "image.glsl"
#include "matrix.glsl"
#include "matrixBlocks.glsl"

layout(set = 0, binding = 0) uniform Parameters { NNGramMatrixMeanParameters p; };
IMAGE_SOURCE(1, gradient)
MATRIX_DESTINATION(2, mean)

// Elements (f + 0...3, c + 0...3).
mat4 load(uint f, uint c, uint image) {
    mat4 block;
    [[unroll]] for (uint i = 0u; i < 4u; ++i)
        block[i] = gradient_load(p.gradient, int(min(f + i, p.mean.rows - 1u)), 0, c / 4u, image);
    [[unroll]] for (uint i = 0u; i < 4u; ++i)
        if (f + i >= p.mean.rows) block[i] = vec4(0.0);
    return block;
}

void store(uint f, uint c, uint image, mat4 block) {
    [[unroll]] for (uint i = 0u; i < 4u; ++i)
        if (f + i < p.mean.rows) mean_storeAligned(p.mean, image, f + i, c, block[i]);
}

void main() {
    MatrixBlock at = blockOfInvocation(p.mean.rows, p.mean.columns, p.images);
    if (!at.exists || at.row > at.column) return;
    mat4 upper = load(at.row, at.column, at.matrix), lower = load(at.column, at.row, at.matrix);
    mat4 both = 0.5 * upper + 0.5 * transpose(lower);
    store(at.row, at.column, at.matrix, both);
    if (at.row != at.column) store(at.column, at.row, at.matrix, transpose(both));
}
