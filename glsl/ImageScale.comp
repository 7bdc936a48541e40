// y = sum of weightY * weightX * x over the pixels that belong to a result's row and column.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "ImageScale.h"
layout(local_size_x = 256) in;
#include "pixel.glsl"

layout(set = 0, binding = 0) uniform Parameters { ImageScaleParameters p; };
IMAGE_SOURCE(1, source)
IMAGE_DESTINATION(2, destination)
layout(set = 0, binding = 3, std430) readonly buffer Firsts { int firsts[]; }; // of columns, of rows
layout(set = 0, binding = 4, std430) readonly buffer Weights { float weights[]; };

void main() {
    uint slices = (p.destination.channels + 3u) / 4u;
    uint i = gridIndex();
    if (i >= slices * p.clipWidth * p.clipHeight * p.images) return;
    Place at = placeOf(i, slices, p.clipWidth, p.clipHeight);
    uint ofX = uint(at.x) * p.tapsX, ofY = p.weightsY + uint(at.y) * p.tapsY;
    int firstX = firsts[at.x], firstY = firsts[p.clipWidth + uint(at.y)];
    vec4 sum = vec4(0.0);
    for (uint y = 0u; y < p.tapsY; ++y) {
        float weightY = weights[ofY + y];
        if (weightY == 0.0) continue; // what has no weight may be no number, or not be there
        vec4 row = vec4(0.0);
        for (uint x = 0u; x < p.tapsX; ++x) {
            float weightX = weights[ofX + x];
            if (weightX != 0.0)
                row += weightX * source_load(p.source, firstX + int(x), firstY + int(y), at.slice, at.image);
        }
        sum += weightY * row;
    }
    destination_store(p.destination, p.clipX + at.x, p.clipY + at.y, at.slice, at.image, sum);
}
