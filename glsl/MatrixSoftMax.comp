// y = e^(x - m) / s or, as a logarithm, x - m - ln s, over each row, with m its largest element and
// s the sum of e^(x - m). A row that is longer than a block is read twice: the second time from its
// end on, of which the caches still have the most.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "MatrixSoftMax.h"
#include "exponential.glsl"
#include "matrixRow.glsl"

layout(set = 0, binding = 0) uniform Parameters { MatrixSoftMaxParameters p; };
ROW_SOURCE(1, source)
ROW_DESTINATION(2, result)
layout(constant_id = 35) const uint logarithm = 0u;

vec4 x[kept];
// Of this invocation's elements: the largest, and the sum of e^(x - most).
float most = -3.402823466e38, sum = 0.0;

void take(uint block) {
    float before = most;
    [[unroll]] for (uint i = 0u; i < kept; ++i) {
        uint chunk = block * kept + i;
        if (hasChunk(chunk, p.source.columns))
            most = max(most, lanesMax(mix(vec4(most), x[i], isInRow(chunk, p.source.columns))));
    }
    vec4 sums = vec4(0.0);
    [[unroll]] for (uint i = 0u; i < kept; ++i) {
        uint chunk = block * kept + i;
        if (hasChunk(chunk, p.source.columns))
            sums += mix(vec4(0.0), exponential(x[i] - most), isInRow(chunk, p.source.columns));
    }
    sum = sum * exponential(before - most) + lanesSum(sums);
}

void main() {
    MatrixRow at = rowOfInvocation(p.source.rows, p.matrices);
    uint blocks = at.exists ? p.blocks : 0u;
    for (uint block = 0u; block < blocks; ++block) {
        source_block(p.source, at, block, x);
        take(block);
    }
    float all = overRowMax(most);
    sum = overRowSum(sum * exponential(most - all));

    float scale = 1.0 / sum, logarithmOfSum = log(sum);
    for (uint block = blocks; block-- > 0u;) {
        if (block + 1u < blocks) source_block(p.source, at, block, x);
        [[unroll]] for (uint i = 0u; i < kept; ++i) {
            vec4 below = x[i] - all;
            x[i] = logarithm != 0u ? below - logarithmOfSum : exponential(below) * scale;
        }
        result_setBlock(p.result, at, block, x);
    }
}
