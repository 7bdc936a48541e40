// y = x between the pixels that the result's pixel stands for.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "NNResize.h"
layout(local_size_x = 256) in;
#include "bilinear.glsl"

layout(set = 0, binding = 0) uniform Parameters { TexelGrid grid; NNResizeBilinearParameters p; };
IMAGE_SOURCE(1, source)
IMAGE_BETWEEN(source)
IMAGE_DESTINATION(2, destination)

// In whole numbers, so that the weight is exact however far the pixel lies.
Between betweenOf(uint pixel, uint numerator, uint denominator, int offset, uint size) {
    uint scaled = pixel * numerator, low = scaled / denominator;
    int at = int(low) + offset;
    float weight = float(scaled - low * denominator) / float(denominator);
    return clamped(Between(at, at + 1, weight), int(size));
}

void main() {
    uint i = gridIndex();
    if (i >= texelCount(grid)) return;
    Place at = placeOf(grid, i);
    Between x = betweenOf(uint(at.x), p.numeratorX, p.denominatorX, p.offsetX, p.source.width);
    Between y = betweenOf(uint(at.y), p.numeratorY, p.denominatorY, p.offsetY, p.source.height);
    destination_store(p.destination, p.clipX + at.x, p.clipY + at.y, at.slice, at.image,
                      source_between(p.source, x, y, at.slice, at.image));
}
