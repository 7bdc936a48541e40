// y = the four pixels around the sample position, each by its nearness.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "upsampling.glsl"

layout(set = 0, binding = 0) uniform Parameters { CNNUpsamplingParameters p; };
IMAGE_SOURCE(1, source)
IMAGE_DESTINATION(2, destination)

vec4 row(Place at, int x, float part, int y) {
    int width = int(p.source.width);
    y = clampIndex(y, int(p.source.height));
    vec4 left = source_load(p.source, clampIndex(x, width), y, at.slice, at.image);
    vec4 right = source_load(p.source, clampIndex(x + 1, width), y, at.slice, at.image);
    return part > 0.0 ? mix(left, right, part) : left;
}

void main() {
    uint slices = (p.destination.channels + 3u) / 4u;
    uint i = gridIndex();
    if (i >= slices * p.clipWidth * p.clipHeight * p.images) return;
    Place at = placeOf(i, slices, p.clipWidth, p.clipHeight);
    Scale sx = scaleX(p.stepX, p.perX), sy = scaleY(p.stepY, p.perY);
    int x = p.offsetX + wholePart(sx, uint(at.x)), y = p.offsetY + wholePart(sy, uint(at.y));
    float partX = fraction(sx, uint(at.x)), partY = fraction(sy, uint(at.y));
    vec4 value = row(at, x, partX, y);
    if (partY > 0.0) value = mix(value, row(at, x, partX, y + 1), partY);
    destination_store(p.destination, p.clipX + at.x, p.clipY + at.y, at.slice, at.image, value);
}
