// Sources of Winograd's products: an invocation has one texel of the pixels that a tile reads.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "geometry.h"
#include "groupedTexel.glsl"
#include "pixel.glsl"
#include "winograd.glsl"

layout(local_size_x = 64) in;
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
    bool exists = at.image < grid.images && at.slice * 4u < parameters.source.channels;
    const uint span = winogradSpan;
    vec4 x[winogradPositions];
    [[unroll]] for (uint q = 0u; q < span; ++q) {
        int row = top + int(q), nearestRow = clampIndex(row, height);
        [[unroll]] for (uint r = 0u; r < span; ++r) {
            int column = left + int(r), nearest = clampIndex(column, width);
            vec4 value = source_load(view, nearest, nearestRow, 0u, image);
            bool isInside = exists && row == nearestRow && column == nearest;
            x[q * span + r] = isInside ? value : vec4(0.0);
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
