// The inverse of CNNConvolutionPack: every weight has one place in the packed layout.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "CNNConvolutionPack.glsl"

layout(set = 0, binding = 1, std430) readonly buffer Packed {
    vec4 packed[];
};
layout(set = 0, binding = 1, std430) readonly buffer Halves {
    uvec2 packedHalves[];
};
layout(set = 0, binding = 2, std430) writeonly buffer Destination {
    float destination[];
};

void main() {
    uint i = gridIndex();
    if (i >= packedBlockCount(parameters)) {
        return;
    }
    PackedBlock block = packedBlock(i);
    [[unroll]] for (uint row = 0u; row < 4u; ++row) if (row < block.rows) {
        uint at = block.first + row * block.stride;
        vec4 weights;
        if (parameters.inHalves != 0u) {
            uvec2 halves = packedHalves[at];
            weights = vec4(unpackHalf2x16(halves.x), unpackHalf2x16(halves.y));
        } else {
            weights = packed[at];
        }
        [[unroll]] for (uint column = 0u; column < 4u; ++column) {
            PackedWeight w = packedWeight(block, row, column);
            if (w.used) {
                destination[parameters.sourceOffset + w.index] = weights[column];
            }
        }
    }
}
