// As CNNPoolingAverageGradient, in blocks of pixels.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "CNNPooling.h"

layout(local_size_x = 256) in;
layout(set = 0, binding = 0) uniform Parameters { CNNPoolingGradientParameters p; };
#include "poolingBlocks.glsl"
IMAGE_SOURCE(1, gradient)
IMAGE_DESTINATION(3, destination)

void main() {
    uint slices = (p.destination.channels + 3u) / 4u;
    PixelBlock b = pixelBlock(gridIndex(), slices);
    if (!b.exists) return;
    vec4 sums[4] = vec4[4](vec4(0.0), vec4(0.0), vec4(0.0), vec4(0.0));
    for (int j = b.firstJ; j <= b.lastJ; ++j) {
        Span sy = spanOf(p.startY + 2 * j, p.kernelHeight, 1, p.sourceHeight, p.edges);
        int rows = countedTaps(p.startY + 2 * j, p.kernelHeight, p.sourceHeight, p.padY, p.edges);
        for (int i = b.firstI; i <= b.lastI; ++i) {
            Span sx = spanOf(p.startX + 2 * i, p.kernelWidth, 1, p.sourceWidth, p.edges);
            int columns = countedTaps(p.startX + 2 * i, p.kernelWidth, p.sourceWidth, p.padX, p.edges);
            vec4 g = gradient_load(p.gradient, p.gradientX + i, p.gradientY + j, b.at.slice, b.at.image) /
                     float(columns * rows);
            for (int k = 0; k < 4; ++k)
                if (tapOf(b, k, sx, sy) >= 0) sums[k] += g;
        }
    }
    STORE_PIXEL_BLOCK(b, sums)
}
