// result = f(op(sum of scale * source) + bias). Sources beyond the eighth go into further
// dispatches, which pass their sums on. A workgroup sums 32 x 32 elements, four of a row each
// invocation, and turns them around in shared memory.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "MatrixSum.h"
#include "matrix.glsl"
#include "neuron.glsl"

layout(local_size_x = 256) in;
layout(set = 0, binding = 0) uniform Parameters { MatrixSumParameters p; };
layout(constant_id = 32) const uint type = 0u; // CNNNeuronType
layout(constant_id = 33) const uint hasBias = 0u;
layout(constant_id = 34) const uint transposed = 0u;
layout(constant_id = 35) const uint isFirst = 1u;
layout(constant_id = 36) const uint isLast = 1u;
layout(constant_id = 37) const uint hasScale = 0u;
layout(constant_id = 38) const uint hasOffsets = 0u;
layout(set = 0, binding = 12, std430) readonly buffer Scales { float scales[]; };
layout(set = 0, binding = 13, std430) readonly buffer Offsets { uint offsets[]; };

// Four elements of a row from any column on.
#define SUMMAND(B)                                                                                 \
    MATRIX_SOURCE(B, source##B)                                                                    \
    vec4 source##B##_row(MatrixView v, uint matrix, uint row, uint column) {                       \
        if ((elementIndex(v, matrix, row, column) & 3u) == 0u && column + 4u <= v.columns)         \
            return source##B##_loadAligned(v, matrix, row, column);                                \
        vec4 values = vec4(0.0);                                                                   \
        for (uint i = 0u; i < 4u; ++i)                                                             \
            if (column + i < v.columns) values[i] = source##B##_load(v, matrix, row, column + i);  \
        return values;                                                                             \
    }
SUMMAND(1)
SUMMAND(2)
SUMMAND(3)
SUMMAND(4)
SUMMAND(5)
SUMMAND(6)
SUMMAND(7)
SUMMAND(8)
MATRIX_DESTINATION(9, result)
MATRIX_SOURCE(10, bias)
MATRIX_DESTINATION(11, sums)

vec4 sourceRow(uint k, uint matrix, uint row, uint column) {
    MatrixView v = p.sources[k];
    if (row >= v.rows) return vec4(0.0);
    switch (k) {
    case 0u: return source1_row(v, matrix, row, column);
    case 1u: return source2_row(v, matrix, row, column);
    case 2u: return source3_row(v, matrix, row, column);
    case 3u: return source4_row(v, matrix, row, column);
    case 4u: return source5_row(v, matrix, row, column);
    case 5u: return source6_row(v, matrix, row, column);
    case 6u: return source7_row(v, matrix, row, column);
    default: return source8_row(v, matrix, row, column);
    }
}

shared float tile[32][33];

void main() {
    uint group = gl_WorkGroupID.x + gl_WorkGroupID.y * gl_NumWorkGroups.x;
    uint across = (p.columns + 31u) / 32u, down = (p.rows + 31u) / 32u;
    uint matrix = group / across / down;
    uint y = gl_LocalInvocationIndex / 8u, x = gl_LocalInvocationIndex % 8u * 4u; // in the tile
    uint tileRow = group / across % down * 32u, tileColumn = group % across * 32u;
    uint row = tileRow + y, column = tileColumn + x;
    bool exists = matrix < p.matrices && row < p.rows && column < p.columns;

    vec4 sum = vec4(0.0);
    if (exists) {
        if (isFirst == 0u) sum = sums_load4(p.sums, matrix, row, column);
        for (uint k = 0u; k < p.count; ++k) {
            float scale = hasScale != 0u ? scales[p.scaleIndex + k] : 1.0;
            uvec2 offset = uvec2(0u);
            if (hasOffsets != 0u) // from the end on there is nothing, however far it is
                offset = min(uvec2(offsets[p.offsetIndex + 2u * k],
                                   offsets[p.offsetIndex + 2u * k + 1u]),
                             uvec2(p.sources[k].rows, p.sources[k].columns));
            sum += scale * sourceRow(k, matrix, row + offset.x, column + offset.y);
        }
    }
    if (isLast == 0u) {
        if (exists) sums_store4(p.sums, matrix, row, column, sum);
        return;
    }
    if (transposed != 0u) {
        for (uint i = 0u; i < 4u; ++i) tile[y][x + i] = sum[i];
        barrier();
        for (uint i = 0u; i < 4u; ++i) sum[i] = tile[x + i][y];
        row = tileColumn + y;
        column = tileRow + x;
    }
    if (matrix >= p.matrices || row >= p.result.rows || column >= p.result.columns) return;
    if (hasBias != 0u) sum += bias_load4(p.bias, matrix, 0u, column);
    result_store4(p.result, matrix, row, column,
                  neuronForward(type, sum, vec4(p.a), vec4(p.b), vec4(p.c)));
}
