// y = e^(x - m) / s or, as a logarithm, x - m - ln s, over each row, with m its largest element and
// s the sum of e^(x - m). A row that is longer than a block is read twice: the second time from its
// end on, of which the caches still have the most.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "MatrixSoftMax.h"
#include "matrixRow.glsl"

layout(set = 0, binding = 0) uniform Parameters { MatrixSoftMaxParameters p; };
ROW_SOURCE(1, source)
ROW_DESTINATION(2, result)
layout(constant_id = 35) const uint logarithm = 0u;

vec4 x[kept];
// Of this invocation's elements: the largest, and the sum of e^(x - most), which x becomes.
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
        if (!hasChunk(chunk, p.source.columns)) continue;
        vec4 exponentials = rowExponential(x[i] - most);
        sums += mix(vec4(0.0), exponentials, isInRow(chunk, p.source.columns));
        if (logarithm == 0u) x[i] = exponentials;
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

    // The exponentials of the last block are still there.
    float scale = exponential(most - all) / sum, logarithmOfSum = log(sum);
    for (uint block = blocks; block-- > 0u;) {
        bool isThere = block + 1u == blocks;
        if (!isThere) source_block(p.source, at, block, x);
        [[unroll]] for (uint i = 0u; i < kept; ++i) {
            if (logarithm != 0u)
                x[i] = (x[i] - all) - logarithmOfSum;
            else
                x[i] = (isThere ? x[i] : rowExponential(x[i] - most)) * scale;
        }
        result_setBlock(p.result, at, block, x);
    }
}
