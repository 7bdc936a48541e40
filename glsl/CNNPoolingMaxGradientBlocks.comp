// As CNNPoolingMaxGradient with saved selections, in blocks of pixels.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "CNNPooling.h"

layout(local_size_x = 256) in;
layout(set = 0, binding = 0) uniform Parameters { CNNPoolingGradientParameters p; };
#include "poolingBlocks.glsl"
IMAGE_SOURCE(1, gradient)
IMAGE_DESTINATION(3, destination)
layout(set = 0, binding = 4, std430) readonly buffer Selections { uint selections[]; };

void main() {
    uint slices = (p.destination.channels + 3u) / 4u;
    PixelBlock b = pixelBlock(gridIndex(), slices);
    if (!b.exists) return;
    vec4 sums[4] = vec4[4](vec4(0.0), vec4(0.0), vec4(0.0), vec4(0.0));
    for (int j = b.firstJ; j <= b.lastJ; ++j) {
        Span sy = spanOf(p.startY + 2 * j, p.kernelHeight, 1, p.sourceHeight, p.edges);
        for (int i = b.firstI; i <= b.lastI; ++i) {
            Span sx = spanOf(p.startX + 2 * i, p.kernelWidth, 1, p.sourceWidth, p.edges);
            uint packed = selections[b.at.image * p.selectionStride +
                                     (uint(j) * p.selectionWidth + uint(i)) * slices + b.at.slice];
            ivec4 selected = ivec4(uvec4(packed, packed >> 8, packed >> 16, packed >> 24) & 255u);
            vec4 g = gradient_load(p.gradient, p.gradientX + i, p.gradientY + j, b.at.slice, b.at.image);
            for (int k = 0; k < 4; ++k)
                sums[k] += mix(vec4(0.0), g, equal(selected, ivec4(tapOf(b, k, sx, sy))));
        }
    }
    STORE_PIXEL_BLOCK(b, sums)
}
