// What the shaders of an LSTM share. Gates: 0 input, 1 forget, 2 cell, 3 output.
#ifndef MPSVK_RNNLSTM_GLSL
#define MPSVK_RNNLSTM_GLSL

layout(set = 0, binding = 10, std430) readonly buffer PreviousCell { vec4 previousCells[]; };
MATRIX_SOURCE(12, peephole)

NEURON(0)
NEURON(1)
NEURON(2)
NEURON(3)
NEURON(4)

vec4 previousCell(uint row, uint quad) {
    return row < p.previousRows ? previousCells[p.previousCell + row * p.quads + quad] : vec4(0.0);
}
// The weights by which a gate sees the cell in the same channel.
vec4 peepholeOf(uint gate, uint quad) {
    return hasGate(p.peepholes, gate)
               ? peephole_load4(p.peephole, 0u, indexOf(p.peepholes, gate), quad * 4u) : vec4(0.0);
}

#endif
