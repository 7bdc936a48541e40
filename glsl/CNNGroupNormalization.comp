// y = (x - mean) * gamma / deviation + beta.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "CNNGroupNormalization.h"
layout(local_size_x = 256) in;
#include "pixel.glsl"

layout(set = 0, binding = 0) uniform Parameters { TexelGrid grid; CNNGroupNormalizationParameters p; };
IMAGE_SOURCE(1, source)
IMAGE_EDGE_READ(source)
IMAGE_DESTINATION(2, destination)
layout(set = 0, binding = 5, std430) readonly buffer Statistics { vec4 statistics[]; };
layout(set = 0, binding = 6, std430) readonly buffer Gamma { vec4 gammas[]; };
layout(set = 0, binding = 7, std430) readonly buffer Beta { vec4 betas[]; };

void main() {
    uint slices = (p.destination.channels + 3u) / 4u;
    uint i = gridIndex();
    if (i >= texelCount(grid)) return;
    // Backwards, since what the sums have read last is still in the caches.
    Place at = placeOf(grid, texelCount(grid) - 1u - i);
    vec4 x = source_read(p.source, p.offsetX + at.x, p.offsetY + at.y, at.slice, at.image, p.clampEdges);
    uint own = at.image * p.statisticsStride + at.slice;
    destination_store(p.destination, p.clipX + at.x, p.clipY + at.y, at.slice, at.image,
                      (x - statistics[own]) * (statistics[own + slices] * gammas[at.slice]) +
                          betas[at.slice]);
}
