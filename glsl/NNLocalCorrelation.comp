// y(f) = the sum over the channels of a(x, y) * b(x + dx, y + dy), f numbering the displacements, dx
// fastest.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "reduce.glsl"

layout(set = 0, binding = 0) uniform Parameters { TexelGrid grid; NNReduceBinaryParameters p; };
IMAGE_SOURCE(1, source)
IMAGE_SOURCE(2, other)
IMAGE_EDGE_READ(other)
IMAGE_DESTINATION(3, destination)

void main() {
    uint resultSlices = (p.destination.channels + 3u) / 4u;
    uint i = gridIndex();
    if (i >= texelCount(grid)) return;
    Place at = placeOf(grid, i);
    int x = p.primaryX + at.x * p.primaryStrideX, y = p.primaryY + at.y * p.primaryStrideY;
    ivec4 f = int(at.slice) * 4 + ivec4(0, 1, 2, 3), row = f / (2 * p.windowX + 1);
    ivec4 otherX = p.secondaryX + at.x * p.secondaryStrideX +
                   (f - row * (2 * p.windowX + 1) - p.windowX) * p.strideX;
    ivec4 otherY = p.secondaryY + at.y * p.secondaryStrideY + (row - p.windowY) * p.strideY;
    uint slices = (p.primary.channels + 3u) / 4u;
    vec4 sum = vec4(0.0);
    for (uint slice = 0u; slice < slices; ++slice) {
        vec4 a = source_load(p.primary, x, y, slice, at.image);
        for (uint lane = 0u; lane < 4u; ++lane)
            if (f[lane] < int(p.destination.channels))
                sum[lane] += lanesSum(a * other_read(p.secondary, otherX[lane], otherY[lane], slice,
                                                     at.image, p.clampEdges));
    }
    destination_store(p.destination, p.clipX + at.x, p.clipY + at.y, at.slice, at.image, sum);
}
