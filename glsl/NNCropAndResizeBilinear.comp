// y = x between the pixels that the pixel of a region's result stands for; the regions of an image
// follow each other.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "NNResize.h"
layout(local_size_x = 256) in;
#include "bilinear.glsl"

layout(set = 0, binding = 0) uniform Parameters { NNCropAndResizeBilinearParameters p; };
IMAGE_SOURCE(1, source)
IMAGE_BETWEEN(source)
IMAGE_DESTINATION(2, destination)
layout(set = 0, binding = 3, std430) readonly buffer Regions { CropRegion regions[]; };

// What a region's edge may miss the image's by, 2^-16 pixels, is rounding.
const uint slack = 0x10000u;

FixedPoint positionOf(FixedPoint start, FixedPoint step, uint pixel) {
    uint high, low, carry;
    umulExtended(step.fraction, pixel, high, low);
    uint fraction = uaddCarry(start.fraction, low, carry);
    return FixedPoint(start.whole + step.whole * int(pixel) + int(high + carry), fraction);
}

bool isOutside(FixedPoint at, int size) {
    if (at.whole < 0) return at.whole < -1 || at.fraction < 0u - slack;
    return at.whole >= size || (at.whole == size - 1 && at.fraction > slack);
}

Between betweenOf(FixedPoint at, int size) {
    if (at.whole < 0) at = FixedPoint(0, 0u);
    return clamped(Between(at.whole, at.whole + 1, float(at.fraction) / 4294967296.0), size);
}

void main() {
    uint slices = (p.destination.channels + 3u) / 4u;
    uint i = gridIndex();
    if (i >= slices * p.clipWidth * p.clipHeight * p.regions * p.images) return;
    Place at = placeOf(i, slices, p.clipWidth, p.clipHeight);
    uint image = at.image / p.regions, region = at.image % p.regions;
    CropRegion r = regions[region];
    FixedPoint x = positionOf(r.startX, r.stepX, uint(at.x)),
               y = positionOf(r.startY, r.stepY, uint(at.y));
    int width = int(p.source.width), height = int(p.source.height);
    vec4 value = vec4(0.0);
    if (p.clampEdges != 0u || !(isOutside(x, width) || isOutside(y, height)))
        value = source_between(p.source, betweenOf(x, width), betweenOf(y, height), at.slice, image);
    ImageView result = p.destination;
    result.offset += region * p.regionStride;
    destination_store(result, p.clipX + at.x, p.clipY + at.y, at.slice, image, value);
}
