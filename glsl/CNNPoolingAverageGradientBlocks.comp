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
    vec4 g[windowsDown][windowsAcross][2];
    EACH_WINDOW(di, dj) {
        bool exists = isWindow(b.i - di, b.j - dj);
        ivec2 at = readWindow(b.i - di, b.j - dj);
        g[dj][di] = gradient_loadTexels(p.gradient, p.gradientX + at.x, p.gradientY + at.y, b.at.slice,
                                        b.at.image);
        EACH_TEXEL(t) g[dj][di][t] = mix(vec4(0.0), g[dj][di][t], bvec4(exists));
    }
    EACH_WINDOW(di, dj) {
        int count = countedTaps(p.startX + 2 * (b.i - di), kernelWidth, p.sourceWidth, p.padX, p.edges) *
                    countedTaps(p.startY + 2 * (b.j - dj), kernelHeight, p.sourceHeight, p.padY, p.edges);
        float share = 1.0 / float(max(count, 1));
        [[unroll]] for (int k = 0; k < 4; ++k)
            if (isTap(k, di, dj)) EACH_TEXEL(t) sums[k][t] += g[dj][di][t] * share;
    }
    STORE_PIXEL_BLOCK(b, sums)
}
