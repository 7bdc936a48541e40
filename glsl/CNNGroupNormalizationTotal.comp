// The gradients of gamma and beta of an array of images: added up in the order of the images.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "CNNGroupNormalization.h"
layout(local_size_x = 64) in;
#include "grid.glsl"

layout(set = 0, binding = 0) uniform Parameters { CNNGroupNormalizationTotalParameters p; };
layout(set = 0, binding = 1, std430) readonly buffer PerImage { vec4 perImage[]; };
layout(set = 0, binding = 2, std430) buffer Total { vec4 total[]; };

void main() {
    uint slice = gridIndex();
    if (slice >= p.slices) return;
    vec4 sum = p.accumulate != 0u ? total[slice] : vec4(0.0);
    for (uint image = 0u; image < p.images; ++image) sum += perImage[image * p.slices + slice];
    total[slice] = sum;
}
