// Sources of Winograd's products: an invocation has one texel of the pixels that a tile reads, and makes
// all positions of it or two rows of them.
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
    uint i = gridIndex(), texels = parameters.tiles * grid.slices;
    const uint shares = winogradShares(TAPS), sharePairs = pairs / shares;
    if (i >= texels * shares) {
        return;
    }
    uint share = shares == 1u ? 0u : i / texels;
    Place at = placeOf(grid, i - share * texels);
    uint image = min(at.image, grid.images - 1u);
    int left = at.x * int(winogradResults) + parameters.originX;
    int top = at.y * int(winogradResults) + parameters.originY;
    int width = int(parameters.source.width), height = int(parameters.source.height);
    ImageView view = texelView(parameters.source, at.slice);
    bool exists = all(bvec2(at.image < grid.images, at.slice * 4u < parameters.source.channels));
    // Conditions without branches: these would part the loads.
    int nearest[mostSpan];
    bool isRow[mostSpan];
    [[unroll]] for (uint q = 0u; q < span; ++q) {
        nearest[q] = clampIndex(top + int(q), height);
        isRow[q] = all(bvec2(exists, nearest[q] == top + int(q)));
    }
    vec4 rows[6][mostSpan];
    [[unroll]] for (uint r = 0u; r < span; ++r) {
        int column = clampIndex(left + int(r), width);
        bool isColumn = column == left + int(r);
        vec4 x[mostSpan];
        [[unroll]] for (uint q = 0u; q < span; ++q) {
            vec4 value = source_load(view, column, nearest[q], 0u, image);
            x[q] = all(bvec2(isRow[q], isColumn)) ? value : vec4(0.0);
        }
        [[unroll]] for (uint pair = 0u; pair < sharePairs; ++pair) {
            vec4 made[2] = winogradSource(x, share + pair);
            rows[2u * pair][r] = made[0];
            rows[2u * pair + 1u][r] = made[1];
        }
    }
    uint tile = (at.image * grid.height + uint(at.y)) * grid.width + uint(at.x);
    uint to = tile * parameters.rowTexels + at.slice;
    [[unroll]] for (uint q = 0u; q < 2u * sharePairs; ++q) {
        [[unroll]] for (uint pair = 0u; pair < pairs; ++pair) {
            vec4 made[2] = winogradSource(rows[q], pair);
            uint position = (2u * share + q) * span + 2u * pair;
            matrices[to + position * parameters.positionTexels] = made[0];
            matrices[to + (position + 1u) * parameters.positionTexels] = made[1];
        }
    }
}
