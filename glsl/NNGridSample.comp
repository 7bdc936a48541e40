// y = x at the position that the grid has for the result's pixel.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "NNResize.h"
layout(local_size_x = 256) in;
#include "bilinear.glsl"

layout(set = 0, binding = 0) uniform Parameters { TexelGrid grid; NNGridSampleParameters p; };
IMAGE_SOURCE(1, source)
IMAGE_BETWEEN(source)
IMAGE_SOURCE(2, grid)
IMAGE_DESTINATION(3, destination)

// One pixel further out everything is outside.
Between betweenOf(float position, int size) {
    float at = clamp(position, -1.0, float(size)), low = floor(at);
    Between result = Between(int(low), int(low) + 1, at - low);
    if (p.clampEdges != 0u) return clamped(result, size);
    return result;
}

void main() {
    uint i = gridIndex();
    if (i >= texelCount(grid)) return;
    Place at = placeOf(grid, i);
    vec2 position = grid_load(p.grid, p.gridX + at.x * p.gridStrideX, p.gridY + at.y * p.gridStrideY,
                              0u, at.image).xy;
    bool isNumber = all(lessThanEqual(floatBitsToUint(position) & 0x7fffffffu, uvec2(0x7f800000u)));
    vec4 value = vec4(uintBitsToFloat(0x7fc00000u));
    if (isNumber) {
        position += vec2(p.offsetX, p.offsetY) + vec2(at.x, at.y) * vec2(p.stepX, p.stepY);
        value = source_between(p.source, betweenOf(position.x, int(p.source.width)),
                               betweenOf(position.y, int(p.source.height)), at.slice, at.image);
    }
    destination_store(p.destination, p.clipX + at.x, p.clipY + at.y, at.slice, at.image, value);
}
