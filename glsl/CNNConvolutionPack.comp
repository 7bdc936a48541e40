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

float weightAt(PackedBlock block, uint row, uint column) {
    PackedWeight w = packedWeight(block, row, column);
    if (!w.used) {
        return 0.0;
    }
    float value = source[parameters.sourceOffset + w.index];
    if (parameters.hasScale != 0u) {
        value *= scale[w.outputChannel];
    }
    return parameters.roundToHalf != 0u ? roundedToHalf(value) : value;
}

void main() {
    uint i = gridIndex();
    if (i >= packedBlockCount(parameters)) {
        return;
    }
    PackedBlock block = packedBlock(i);
    [[unroll]] for (uint row = 0u; row < 4u; ++row) if (row < block.rows) {
        vec4 weights;
        [[unroll]] for (uint column = 0u; column < 4u; ++column) {
            weights[column] = weightAt(block, row, column);
        }
        uint at = block.first + row * block.stride;
        if (parameters.inHalves != 0u) {
            packedHalves[at] = uvec2(packHalf2x16(weights.xy), packHalf2x16(weights.zw));
        } else {
            packed[at] = weights;
        }
    }
}
