// Element (y, x, c) of the result is the source's element of the same number (y * width + x) *
// channels + c.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "NNReshape.h"
layout(local_size_x = 256) in;
#include "pixel.glsl"

layout(set = 0, binding = 0) uniform Parameters { NNReshapeParameters p; };
IMAGE_SOURCE(1, source)
IMAGE_DESTINATION(2, destination)

void main() {
    uint slices = (p.destination.channels + 3u) / 4u;
    uint i = gridIndex();
    if (i >= slices * p.destination.width * p.destination.height * p.images) return;
    Place at = placeOf(i, slices, p.destination.width, p.destination.height);
    uint pixel = uint(at.y) * p.destination.width + uint(at.x);
    vec4 value = vec4(0.0);
    if (((p.source.channels | p.destination.channels) & 3u) == 0u) {
        Place from = placeOf(pixel * slices + at.slice, p.source.channels / 4u, p.source.width,
                             p.source.height);
        value = source_load(p.source, from.x, from.y, from.slice, at.image);
    } else {
        uint element = pixel * p.destination.channels + at.slice * 4u;
        Place from = placeOf(element, p.source.channels, p.source.width, p.source.height);
        uint lanes = min(4u, p.destination.channels - at.slice * 4u);
        for (uint lane = 0u; lane < lanes; ++lane) {
            uint channel = from.slice;
            value[lane] = source_load(p.source, from.x, from.y, channel >> 2, at.image)[channel & 3u];
            if (++from.slice < p.source.channels) continue;
            from.slice = 0u;
            if (++from.x < int(p.source.width)) continue;
            from.x = 0;
            ++from.y;
        }
    }
    destination_store(p.destination, at.x, at.y, at.slice, at.image, value);
}
