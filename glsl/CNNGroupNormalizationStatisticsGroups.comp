// Mean and inverse deviation of groups from those of their channels.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "CNNGroupNormalization.h"
layout(local_size_x = 64) in;
#include "grid.glsl"
#include "groupStatistics.glsl"

layout(set = 0, binding = 0) uniform Parameters { CNNGroupNormalizationParameters p; };
layout(set = 0, binding = 4, std430) readonly buffer Sums { vec4 sums[]; };
layout(set = 0, binding = 5, std430) writeonly buffer Statistics { vec4 statistics[]; };

#define MEAN(I) sums[(I) / 4u * 2u][(I) % 4u]
#define SQUARES(I) sums[(I) / 4u * 2u + 1u][(I) % 4u]
GROUP_STATISTICS(groupStatistics, MEAN, SQUARES)

void main() {
    uint slices = (p.source.channels + 3u) / 4u;
    uint i = gridIndex();
    if (i >= slices * p.images) return;
    uint slice = i % slices, image = i / slices;
    vec4 mean, inverse;
    groupStatistics(image * slices * 4u, slice, p.source.channels, p.groupChannels,
                    float(p.source.width * p.source.height), p.epsilon, mean, inverse);
    uint at = image * p.statisticsStride + slice;
    statistics[at] = mean;
    statistics[at + slices] = inverse;
}
