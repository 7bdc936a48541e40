// dx = (gamma*dy - mean of gamma*dy - x^ * mean of gamma*dy*x^) / deviation, the means over the group.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "CNNGroupNormalization.h"
layout(local_size_x = 256) in;
#include "groupNormalizationGradient.glsl"
#include "pixel.glsl"

layout(set = 0, binding = 0) uniform Parameters { TexelGrid grid; CNNGroupNormalizationGradientParameters p; };
IMAGE_SOURCE(1, gradient)
IMAGE_SOURCE(2, source)
IMAGE_DESTINATION(3, destination)
layout(set = 0, binding = 4, std430) readonly buffer Statistics { vec4 statistics[]; };
layout(set = 0, binding = 5, std430) readonly buffer Gamma { vec4 gammas[]; };
layout(set = 0, binding = 7, std430) readonly buffer Terms { vec4 terms[]; };

void main() {
    uint i = gridIndex();
    if (i >= texelCount(grid)) return;
    uint slices = (p.destination.channels + 3u) / 4u;
    // Backwards, since what the sums have read last is still in the caches.
    Place at = placeOf(grid, texelCount(grid) - 1u - i);
    int gradientX = p.gradientOffsetX + at.x, gradientY = p.gradientOffsetY + at.y;
    int sourceX = p.sourceOffsetX + at.x, sourceY = p.sourceOffsetY + at.y;
    vec4 result = vec4(0.0);
    if (inside(p.source, sourceX, sourceY)) {
        vec4 dy = inRegion(p, gradientX, gradientY)
                      ? gradient_load(p.gradient, gradientX, gradientY, at.slice, at.image)
                      : vec4(0.0);
        vec4 x = source_load(p.source, sourceX, sourceY, at.slice, at.image);
        uint own = at.image * p.statisticsStride + at.slice, term = (at.image * slices + at.slice) * 2u;
        result = sourceGradient(dy, x, gammas[at.slice], statistics[own], statistics[own + slices],
                                terms[term], terms[term + 1u]);
    }
    destination_store(p.destination, p.clipX + at.x, p.clipY + at.y, at.slice, at.image, result);
}
