// dx = y * (g - sum of g*y) or, of the logarithm, dx = g - e^y * sum of g, over each row; y is the
// forward result. For rows that are longer than a block see MatrixSoftMax.comp.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "MatrixSoftMax.h"
#include "matrixRow.glsl"

layout(set = 0, binding = 0) uniform Parameters { MatrixSoftMaxGradientParameters p; };
ROW_SOURCE(1, gradient)
ROW_SOURCE(2, forward)
ROW_DESTINATION(3, result)
layout(constant_id = 35) const uint logarithm = 0u;

vec4 g[kept], y[kept];

// The sum of the gradients alone needs no forward results.
void load(MatrixRow at, uint block, bool outputsToo) {
    gradient_block(p.gradient, at, block, g);
    if (outputsToo) forward_block(p.forward, at, block, y);
}

void main() {
    MatrixRow at = rowOfInvocation(p.result.rows, p.matrices);
    uint blocks = at.exists ? p.blocks : 0u;
    vec4 sums = vec4(0.0);
    for (uint block = 0u; block < blocks; ++block) {
        load(at, block, logarithm == 0u || block + 1u == blocks);
        [[unroll]] for (uint i = 0u; i < kept; ++i) {
            uint chunk = block * kept + i;
            if (!hasChunk(chunk, p.result.columns)) continue;
            vec4 term = logarithm != 0u ? g[i] : g[i] * y[i];
            sums += mix(vec4(0.0), term, isInRow(chunk, p.result.columns));
        }
    }
    float sum = overRowSum(lanesSum(sums));

    for (uint block = blocks; block-- > 0u;) {
        if (block + 1u < blocks) load(at, block, true);
        [[unroll]] for (uint i = 0u; i < kept; ++i)
            g[i] = logarithm != 0u ? g[i] - rowExponential(y[i]) * sum : y[i] * (g[i] - sum);
        result_setBlock(p.result, at, block, g);
    }
}
