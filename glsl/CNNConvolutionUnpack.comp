// The inverse of CNNConvolutionPack: every weight has one place in the packed layout.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "CNNConvolutionPack.glsl"

layout(set = 0, binding = 1, std430) readonly buffer Packed {
    float packed[];
};
layout(set = 0, binding = 2, std430) writeonly buffer Destination {
    float destination[];
};

void main() {
    uint i = gridIndex();
    if (i >= packedCount()) {
        return;
    }
    PackedWeight w = packedWeight(i);
    if (w.used) {
        destination[parameters.sourceOffset + w.index] = packed[i];
    }
}
