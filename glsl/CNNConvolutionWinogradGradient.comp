// The incoming gradient for the products of Winograd's gradient of weights: an invocation has one texel
// of a tile of pixels.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
layout(local_size_x = 64) in;
#include "pixel.glsl"
#include "groupedTexel.glsl"
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
    uint left = uint(at.x) * winogradResults, top = uint(at.y) * winogradResults;
    top += uint(parameters.originY);
    ImageView view = texelView(parameters.source, at.slice);
    vec4 rows[mostSpan][mostResults];
    [[unroll]] for (uint r = 0u; r < results; ++r) {
        vec4 x[mostResults];
        uint column = min(left + r, parameters.source.width - 1u);
        [[unroll]] for (uint q = 0u; q < results; ++q) {
            uint row = min(top + q, parameters.source.height - 1u);
            x[q] = source_load(view, int(column), int(row), 0u, image);
            bool isInside =
                all(bvec3(at.image < grid.images, column == left + r, row == top + q));
            x[q] = isInside ? x[q] : vec4(0.0);
        }
        [[unroll]] for (uint pair = 0u; pair < pairs; ++pair) {
            vec4 made[2] = winogradGradient(x, pair);
            rows[2u * pair][r] = made[0];
            rows[2u * pair + 1u][r] = made[1];
        }
    }
    uint tile = (at.image * grid.height + uint(at.y)) * grid.width + uint(at.x);
    uint to = tile * parameters.rowTexels + at.slice;
    [[unroll]] for (uint q = 0u; q < span; ++q) {
        [[unroll]] for (uint pair = 0u; pair < pairs; ++pair) {
            vec4 made[2] = winogradGradient(rows[q], pair);
            uint position = q * span + 2u * pair;
            matrices[to + position * parameters.positionTexels] = made[0];
            matrices[to + (position + 1u) * parameters.positionTexels] = made[1];
        }
    }
}
