// destination = source + beta * destination, in the destination's type.
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
    if (i >= quads * p.rows * p.matrices) return;
    uint column = i % quads * 4u, row = i / quads % p.rows, matrix = i / quads / p.rows;
    vec4 value = source_load4(p.source, matrix, row, column);
    if (p.beta != 0.0) value += p.beta * destination_load4(p.destination, matrix, row, column);
    destination_store4(p.destination, matrix, row, column, value);
}
