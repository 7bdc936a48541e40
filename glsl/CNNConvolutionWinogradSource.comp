// Sources of Winograd's products: an invocation has one texel of the pixels that a tile reads.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "geometry.h"
layout(local_size_x = 64) in;
#include "groupedTexel.glsl"
#include "pixel.glsl"
#include "winograd.glsl"

layout(set = 0, binding = 0) uniform Block {
    TexelGrid grid; // of a row of the matrix, and tiles
    CNNConvolutionWinogradParameters parameters;
};
IMAGE_SOURCE(1, source)
layout(set = 0, binding = 2, std430) writeonly buffer Matrices {
    vec4 matrices[];
};

void main() {
    uint i = gridIndex();
    if (i >= parameters.tiles * grid.slices) {
        return;
    }
    Place at = placeOf(grid, i);
    uint image = min(at.image, grid.images - 1u);
    int left = at.x * int(winogradResults) + parameters.originX;
    int top = at.y * int(winogradResults) + parameters.originY;
    int width = int(parameters.source.width), height = int(parameters.source.height);
    ImageView view = texelView(parameters.source, at.slice);
    bool exists = all(bvec2(at.image < grid.images, at.slice * 4u < parameters.source.channels));
    const uint span = winogradSpan;
    // Conditions without branches: these would part the loads.
    int nearest[span];
    bool isColumn[span];
    [[unroll]] for (uint r = 0u; r < span; ++r) {
        nearest[r] = clampIndex(left + int(r), width);
        isColumn[r] = nearest[r] == left + int(r);
    }
    vec4 x[winogradPositions];
    [[unroll]] for (uint q = 0u; q < span; ++q) {
        int row = clampIndex(top + int(q), height);
        bool isRow = all(bvec2(exists, row == top + int(q)));
        [[unroll]] for (uint r = 0u; r < span; ++r) {
            vec4 value = source_load(view, nearest[r], row, 0u, image);
            x[q * span + r] = all(bvec2(isRow, isColumn[r])) ? value : vec4(0.0);
        }
    }
    [[unroll]] for (uint q = 0u; q < span; ++q) {
        WINOGRAD_SOURCE(x, q * span, 1u)
    }
    [[unroll]] for (uint r = 0u; r < span; ++r) {
        WINOGRAD_SOURCE(x, r, span)
    }
    uint tile = (at.image * grid.height + uint(at.y)) * grid.width + uint(at.x);
    uint to = tile * parameters.rowTexels + at.slice;
    [[unroll]] for (uint p = 0u; p < winogradPositions; ++p) {
        matrices[to + p * parameters.positionTexels] = x[p];
    }
}
