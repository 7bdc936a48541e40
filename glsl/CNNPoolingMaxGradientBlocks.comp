// As CNNPoolingMaxGradient with saved selections, in blocks of pixels.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "CNNPooling.h"
#include "grid.h"

layout(local_size_x = 256) in;
layout(set = 0, binding = 0) uniform Parameters { TexelGrid grid; CNNPoolingGradientParameters p; };
#include "poolingBlocks.glsl"
IMAGE_SOURCE(1, gradient)
IMAGE_DESTINATION(3, destination)
layout(set = 0, binding = 4, std430) readonly buffer Selections { uint selections[]; };

void main() {
    if (gridIndex() >= texelCount(grid)) return;
    PixelBlock b = pixelBlock(gridIndex());
    uint slices = (p.destination.channels + 3u) / 4u;
    vec4 sums[4][2];
    [[unroll]] for (int k = 0; k < 4; ++k) sums[k] = vec4[2](vec4(0.0), vec4(0.0));
    EACH_WINDOW(di, dj) {
        int i = b.i - di, j = b.j - dj;
        if (isWindow(i, j)) {
            // Selections are counted from the window's first pixel in the source.
            int lowX = max(p.startX + 2 * i, 0), lowY = max(p.startY + 2 * j, 0);
            uint window = b.at.image * p.selectionStride +
                          (uint(j) * p.selectionWidth + uint(i)) * slices + b.at.slice;
            vec4 g[2] = gradient_loadTexels(p.gradient, p.gradientX + i, p.gradientY + j, b.at.slice,
                                            b.at.image);
            EACH_TEXEL(t) {
                uint packed = selections[window + t];
                ivec4 selected = ivec4(uvec4(packed, packed >> 8, packed >> 16, packed >> 24) & 255u);
                [[unroll]] for (int k = 0; k < 4; ++k)
                    if (isTap(k, di, dj)) {
                        int tap = (b.y + k / 2 - lowY) * kernelWidth + b.x + k % 2 - lowX;
                        sums[k][t] += mix(vec4(0.0), g[t], equal(selected, ivec4(tap)));
                    }
            }
        }
    }
    STORE_PIXEL_BLOCK(b, sums)
}
