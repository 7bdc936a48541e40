// What the matrix products of the Gram matrix share: a workgroup of 64 computes a tile of
// gramTile x gramTile sums through shared memory, an invocation 8 rows by two texels 8 apart. The
// next step's operands are on their way while this one's are multiplied.
#ifndef MPSVK_GRAMTILE_GLSL
#define MPSVK_GRAMTILE_GLSL

#include "NNGramMatrixCalculation.h"
#include "image.glsl"

layout(local_size_x = 64) in;

const uint TEXELS = gramTile / 4u;
const uint LOADS = 4u; // of an operand, per invocation and step
const uint LANE = 8u;  // from one of an invocation's texels (or rows) to the next

uint workgroup() {
    return gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
}

#define GRAM_MULTIPLY(i, x)                                                                        \
    sums[i][0] = fma(vec4(x), left, sums[i][0]);                                                   \
    sums[i][1] = fma(vec4(x), right, sums[i][1]);

#endif
