// Sums over rows: row k of the destination is the sum of rowsPerSum rows of the source from
// k * rowsPerSum on, plus beta * what was there.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "RNN.h"
layout(local_size_x = 64) in;
#include "grid.glsl"
#include "matrix.glsl"

layout(set = 0, binding = 0) uniform Parameters { RNNRowsParameters p; };
MATRIX_SOURCE(1, source)
MATRIX_DESTINATION(2, destination)

void main() {
    uint i = gridIndex(), quads = (p.columns + 3u) / 4u;
    if (i >= quads * p.destination.rows) return;
    uint column = i % quads * 4u, part = i / quads;
    uint end = min((part + 1u) * p.rowsPerSum, p.rows);
    vec4 sum = vec4(0.0);
    for (uint row = part * p.rowsPerSum; row < end; ++row)
        sum += source_load4(p.source, 0u, row, column);
    if (p.beta != 0.0) sum += p.beta * destination_load4(p.destination, 0u, part, column);
    destination_store4(p.destination, 0u, part, column, sum);
}
