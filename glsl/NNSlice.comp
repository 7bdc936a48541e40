// A copy of a part of the source's pixels and channels.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "NNReshape.h"
layout(local_size_x = 256) in;
#include "pixel.glsl"
#include "geometry.h"

layout(set = 0, binding = 0) uniform Parameters { TexelGrid grid; NNSliceParameters p; };
IMAGE_SOURCE(1, source)
IMAGE_CHANNELS_READ(source)
IMAGE_DESTINATION(2, destination)

void main() {
    uint i = gridIndex();
    if (i >= texelCount(grid)) return;
    Place at = placeOf(grid, i);
    int x = p.offsetX + at.x, y = p.offsetY + at.y;
    if (p.clampEdges != 0u) {
        x = clampIndex(x, int(p.source.width));
        y = clampIndex(y, int(p.source.height));
    }
    vec4 value = vec4(0.0);
    if (inside(p.source, x, y)) value = source_channels(p.source, x, y, at.slice * 4u, at.image);
    destination_store(p.destination, p.clipX + at.x, p.clipY + at.y, at.slice, at.image, value);
}
