// The end of a product whose interior was split or which has a neuron: adds the parts up, which lie
// as the matrices of `left`, all parts of a product together. Neurons are here alone: in the
// unrolled code of tiles they would make it many times longer.
#version 450
#extension GL_GOOGLE_include_directive : require
layout(local_size_x = 64) in;
#include "grid.glsl"
#include "matrixProduct.glsl"
#include "neuron.glsl"

layout(constant_id = 36) const uint neuronType = neuronNone;

void main() {
    uint i = gridIndex(), across = (p.result.columns + 3u) / 4u;
    uint column = i % across * 4u, row = i / across % p.result.rows;
    uint matrix = i / across / p.result.rows;
    if (matrix >= p.matrices) return;
    vec4 sum = vec4(0.0);
    for (uint part = 0u; part < p.parts; ++part)
        sum += left_load4(p.left, matrix * p.parts + part, row, column);
    vec4 x = finished(matrix, row, column, sum, biasAt(matrix, column));
    result_store4(p.result, matrix, row, column,
                  neuronForward(neuronType, x, vec4(p.a), vec4(p.b), vec4(p.c)));
}
