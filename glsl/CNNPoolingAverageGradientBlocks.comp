// As CNNPoolingAverageGradient, in blocks of pixels.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "CNNPooling.h"
#include "grid.h"

layout(local_size_x = 256) in;
layout(set = 0, binding = 0) uniform Parameters { TexelGrid grid; CNNPoolingGradientParameters p; };
#include "poolingBlocks.glsl"
IMAGE_SOURCE(1, gradient)
IMAGE_DESTINATION(3, destination)

void main() {
    if (gridIndex() >= texelCount(grid)) return;
    PixelBlock b = pixelBlock(gridIndex());
    vec4 sums[4][2];
    [[unroll]] for (int k = 0; k < 4; ++k) sums[k] = vec4[2](vec4(0.0), vec4(0.0));
    EACH_WINDOW(di, dj) {
        int i = b.i - di, j = b.j - dj;
        if (isWindow(i, j)) {
            int count = countedTaps(p.startX + 2 * i, kernelWidth, p.sourceWidth, p.padX, p.edges) *
                        countedTaps(p.startY + 2 * j, kernelHeight, p.sourceHeight, p.padY, p.edges);
            float share = 1.0 / float(count);
            vec4 g[2] = gradient_loadTexels(p.gradient, p.gradientX + i, p.gradientY + j, b.at.slice,
                                            b.at.image);
            [[unroll]] for (int k = 0; k < 4; ++k)
                if (isTap(k, di, dj)) EACH_TEXEL(t) sums[k][t] += g[t] * share;
        }
    }
    STORE_PIXEL_BLOCK(b, sums)
}
