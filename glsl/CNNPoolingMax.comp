// y = the largest value of the window; where it was can be left in a state for the gradient.
#version 450
#extension GL_GOOGLE_include_directive : require
layout(local_size_x = 256) in;
#include "pooling.glsl"

layout(set = 0, binding = 0) uniform Parameters { TexelGrid grid; CNNPoolingParameters p; };
IMAGE_SOURCE(1, source)
IMAGE_DESTINATION(2, destination)
// A byte for each lane of a result: the pixel within the window's span, or 255 for none.
layout(set = 0, binding = 3, std430) writeonly buffer Selections { uint selections[]; };
layout(constant_id = 32) const uint saves = 0u;

void main() {
    uint slices = (p.destination.channels + 3u) / 4u;
    uint i = gridIndex();
    if (i >= texelCount(grid)) return;
    Place at = placeOf(grid, i);
    Span sx = spanOf(p.startX + p.strideX * at.x, p.kernelWidth, p.dilationX, int(p.source.width), p.edges);
    Span sy = spanOf(p.startY + p.strideY * at.y, p.kernelHeight, p.dilationY, int(p.source.height), p.edges);
    vec4 best = uintBitsToFloat(uvec4(0x7fc00000u)); // not a number
    uvec4 selected = uvec4(255u);
    for (int row = 0; row < sy.count; ++row)
        for (int column = 0; column < sx.count; ++column) {
            vec4 v = source_load(p.source, sx.low + column * p.dilationX, sy.low + row * p.dilationY,
                                 at.slice, at.image);
            bvec4 better = both(not(isNotNumber(v)), either(isNotNumber(best), greaterThan(v, best)));
            best = mix(best, v, better);
            selected = mix(selected, uvec4(uint(row * p.kernelWidth + column)), better);
        }
    int taps = p.edges == poolingEdgesZero ? p.kernelWidth * p.kernelHeight : 1;
    if (sx.count * sy.count < taps) { // a zero from outside, or no tap at all
        bvec4 zero = either(isNotNumber(best), lessThan(best, vec4(0.0)));
        if (p.edges == poolingEdgesLeave) zero = bvec4(true);
        best = mix(best, vec4(0.0), zero);
        selected = mix(selected, uvec4(255u), zero);
    }
    destination_store(p.destination, p.clipX + at.x, p.clipY + at.y, at.slice, at.image, best);
    if (saves != 0u)
        selections[at.image * p.selectionStride +
                   (uint(at.y) * p.clipWidth + uint(at.x)) * slices + at.slice] =
            selected.x | selected.y << 8 | selected.z << 16 | selected.w << 24;
}
