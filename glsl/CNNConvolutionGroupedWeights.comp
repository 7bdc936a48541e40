// Packed weights, [tile][q][r][slice][k][n], as CNNConvolutionGrouped reads them:
// [q][r][slice][k][tile][n].
#version 450
#extension GL_GOOGLE_include_directive : require
#include "CNNConvolution.h"
layout(local_size_x = 64) in;
#include "grid.glsl"

layout(set = 0, binding = 0) uniform Block {
    CNNConvolutionPackParameters parameters;
};
layout(set = 0, binding = 1, std430) readonly buffer Packed {
    vec4 packed[];
};
layout(set = 0, binding = 2, std430) writeonly buffer Grouped {
    vec4 grouped[];
};

void main() {
    uint rows = parameters.kernelWidth * parameters.kernelHeight * parameters.tileSlices * 4u;
    uint texels = parameters.tiles * parameters.tileTexels;
    uint i = gridIndex();
    if (i < rows * texels) {
        uint row = i / texels;
        uint tile = (i - row * texels) / parameters.tileTexels;
        grouped[i] = packed[(tile * rows + row) * parameters.tileTexels + i % parameters.tileTexels];
    }
}
