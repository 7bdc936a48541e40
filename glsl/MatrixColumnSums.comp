// Sums of columns over parts of the rows of matrices. The grid is (blocks of columns, parts,
// matrices); a workgroup is `lanes` invocations side by side, in rows.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "MatrixColumnSums.h"
#include "matrix.glsl"

layout(local_size_x = 256) in;
layout(set = 0, binding = 0) uniform Parameters { MatrixColumnSumsParameters p; };
MATRIX_SOURCE(1, source)
MATRIX_DESTINATION(2, sums)
#include "rowSums.glsl"

void main() {
    uint i = gl_LocalInvocationIndex, part = gl_WorkGroupID.y, matrix = gl_WorkGroupID.z;
    uint column = (gl_WorkGroupID.x * p.lanes + i % p.lanes) * 4u;
    uint end = min((part + 1u) * p.splitRows, p.source.rows);
    vec4 sum = vec4(0.0);
    if (column < p.source.columns)
        for (uint row = part * p.splitRows + i / p.lanes; row < end; row += 256u / p.lanes)
            sum += source_load4(p.source, matrix, row, column);
    sum = sumOfRows(sum, p.lanes);
    if (i < p.lanes && column < p.source.columns) sums_store4(p.sums, matrix, part, column, sum);
}
