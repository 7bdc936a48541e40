// 1 everywhere.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "CNNLoss.h"
layout(local_size_x = 256) in;
#include "pixel.glsl"

layout(set = 0, binding = 0) uniform Parameters { TexelGrid grid; NNInitialGradientParameters p; };
IMAGE_DESTINATION(1, destination)

void main() {
    uint i = gridIndex();
    if (i >= texelCount(grid)) return;
    Place at = placeOf(grid, i);
    destination_store(p.destination, p.clipX + at.x, p.clipY + at.y, at.slice, at.image, vec4(1.0));
}
