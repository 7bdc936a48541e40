// dx = dy / the number of pixels of the mean; 0 for pixels that are not among these.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "NNReduce.h"
layout(local_size_x = 256) in;
#include "pixel.glsl"

layout(set = 0, binding = 0) uniform Parameters { TexelGrid grid; NNReduceSpatialMeanGradientParameters p; };
IMAGE_SOURCE(1, gradient)
IMAGE_DESTINATION(3, destination)

void main() {
    uint i = gridIndex();
    if (i >= texelCount(grid)) return;
    Place at = placeOf(grid, i);
    int x = p.sourceX + at.x - p.meanX, y = p.sourceY + at.y - p.meanY;
    vec4 dx = vec4(0.0);
    if (x >= 0 && y >= 0 && x < p.meanWidth && y < p.meanHeight)
        dx = gradient_load(p.gradient, p.gradientX, p.gradientY, at.slice, at.image) / p.count;
    destination_store(p.destination, p.clipX + at.x, p.clipY + at.y, at.slice, at.image, dx);
}
