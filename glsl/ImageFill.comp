// Zeros in every texel of one image.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "Image.h"
layout(local_size_x = 256) in;
#include "grid.glsl"
#include "image.glsl"

layout(set = 0, binding = 0) uniform Parameters { ImageFillParameters p; };
IMAGE_DESTINATION(1, destination)

void main() {
    uint i = gridIndex();
    if (i >= p.count) return;
    uint slices = (p.destination.channels + 3u) / 4u;
    uint pixel = i / slices;
    destination_store(p.destination, int(pixel % p.destination.width), int(pixel / p.destination.width),
                      i % slices, 0u, vec4(0.0));
}
