// y = the four pixels around the sample position, each by its nearness.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "upsampling.glsl"

layout(set = 0, binding = 0) uniform Parameters { TexelGrid grid; CNNUpsamplingParameters p; };
IMAGE_SOURCE(1, source)
IMAGE_DESTINATION(2, destination)

vec4[2] row(Place at, int x, float part, int y) {
    int width = int(p.source.width);
    y = clampIndex(y, int(p.source.height));
    vec4 left[2] = source_loadTexels(p.source, clampIndex(x, width), y, at.slice, at.image);
    vec4 right[2] = source_loadTexels(p.source, clampIndex(x + 1, width), y, at.slice, at.image);
    if (part > 0.0)
        EACH_TEXEL(k) left[k] = mix(left[k], right[k], part);
    return left;
}

void main() {
    uint i = gridIndex();
    if (i >= texelCount(grid)) return;
    Place at = placeOf(grid, i);
    Scale sx = scaleX(p.stepX, p.perX), sy = scaleY(p.stepY, p.perY);
    int x = p.offsetX + wholePart(sx, uint(at.x)), y = p.offsetY + wholePart(sy, uint(at.y));
    float partX = fraction(sx, uint(at.x)), partY = fraction(sy, uint(at.y));
    vec4 value[2] = row(at, x, partX, y);
    if (partY > 0.0) {
        vec4 below[2] = row(at, x, partX, y + 1);
        EACH_TEXEL(k) value[k] = mix(value[k], below[k], partY);
    }
    destination_storeTexels(p.destination, p.clipX + at.x, p.clipY + at.y, at.slice, at.image, value);
}
