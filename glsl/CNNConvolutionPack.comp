// Weights of a data source to the layout of CNNConvolution.h.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "CNNConvolutionPack.glsl"

layout(set = 0, binding = 1, std430) readonly buffer Source {
    float source[];
};
layout(set = 0, binding = 2, std430) writeonly buffer Packed {
    vec4 packed[];
};
layout(set = 0, binding = 2, std430) writeonly buffer Halves {
    uvec2 packedHalves[];
};
layout(set = 0, binding = 3, std430) readonly buffer Scale {
    float scale[]; // per output channel
};

void main() {
    uint i = gridIndex();
    if (i >= packedBlockCount(parameters)) {
        return;
    }
    PackedBlock block = packedBlock(i);
    // All is found before the first load, and what is not there is read elsewhere: a load in a branch
    // waits for those before it.
    PackedWeight places[4][4];
    [[unroll]] for (uint row = 0u; row < 4u; ++row)
        [[unroll]] for (uint column = 0u; column < 4u; ++column) {
            places[row][column] = packedWeight(block, min(row, block.rows - 1u), column);
        }
    vec4 weights[4];
    [[unroll]] for (uint row = 0u; row < 4u; ++row)
        [[unroll]] for (uint column = 0u; column < 4u; ++column) {
            PackedWeight w = places[row][column];
            float value = source[parameters.sourceOffset + (w.used ? w.index : 0u)];
            weights[row][column] = w.used ? value : 0.0;
        }
    if (parameters.hasScale != 0u) {
        [[unroll]] for (uint row = 0u; row < 4u; ++row)
            [[unroll]] for (uint column = 0u; column < 4u; ++column) {
                PackedWeight w = places[row][column];
                weights[row][column] *= scale[w.used ? w.outputChannel : 0u];
            }
    }
    if (parameters.roundToHalf != 0u) {
        [[unroll]] for (uint row = 0u; row < 4u; ++row)
            [[unroll]] for (uint column = 0u; column < 4u; ++column) {
                weights[row][column] = roundedToHalf(weights[row][column]);
            }
    }
    [[unroll]] for (uint row = 0u; row < 4u; ++row) if (row < block.rows) {
        uint at = block.first + row * block.stride;
        if (parameters.inHalves != 0u) {
            packedHalves[at] =
                uvec2(packHalf2x16(weights[row].xy), packHalf2x16(weights[row].zw));
        } else {
            packed[at] = weights[row];
        }
    }
}
