// As CNNPoolingMaxGradient with saved selections, in blocks of pixels.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "CNNPooling.h"
#include "grid.h"

layout(local_size_x = 256) in;
layout(set = 0, binding = 0) uniform Parameters { TexelGrid grid; CNNPoolingGradientParameters p; };
#include "poolingBlocks.glsl"
IMAGE_SOURCE(1, gradient)
IMAGE_SOURCE(2, source)
IMAGE_DESTINATION(3, destination)
layout(set = 0, binding = 4, std430) readonly buffer Selections { uint selections[]; };
layout(set = 0, binding = 4, std430) readonly buffer SelectionPairs { uvec2 selectionPairs[]; };
#include "poolingDerivative.glsl"

void main() {
    if (gridIndex() >= texelCount(grid)) return;
    PixelBlock b = pixelBlock(gridIndex());
    uint slices = (p.destination.channels + 3u) / 4u;
    vec4 sums[4][2];
    [[unroll]] for (int k = 0; k < 4; ++k) sums[k] = vec4[2](vec4(0.0), vec4(0.0));
    vec4 g[windowsDown][windowsAcross][2];
    uint packed[windowsDown][windowsAcross][2];
    vec4 results[4][2]; // of the neuron
    if (neuron != neuronNone) {
        [[unroll]] for (int k = 0; k < 4; ++k)
            results[k] = source_loadTexels(p.source, clamp(b.x + k % 2, 0, p.sourceWidth - 1),
                                           clamp(b.y + k / 2, 0, p.sourceHeight - 1), b.at.slice,
                                           b.at.image);
    }
    EACH_WINDOW(di, dj) {
        bool exists = isWindow(b.i - di, b.j - dj);
        ivec2 at = readWindow(b.i - di, b.j - dj);
        uint window = b.at.image * p.selectionStride +
                      (uint(at.y) * p.selectionWidth + uint(at.x)) * slices + b.at.slice;
        g[dj][di] = gradient_loadTexels(p.gradient, p.gradientX + at.x, p.gradientY + at.y, b.at.slice,
                                        b.at.image);
        uvec2 both = texels == 2u ? selectionPairs[window >> 1] : uvec2(selections[window], 0u);
        EACH_TEXEL(t) {
            packed[dj][di][t] = both[t];
            g[dj][di][t] = mix(vec4(0.0), g[dj][di][t], bvec4(exists));
        }
    }
    EACH_WINDOW(di, dj) {
        // Selections are counted from the window's first pixel in the source.
        int lowX = max(p.startX + 2 * (b.i - di), 0), lowY = max(p.startY + 2 * (b.j - dj), 0);
        [[unroll]] for (int k = 0; k < 4; ++k)
            if (isTap(k, di, dj)) {
                uint tap = uint((b.y + k / 2 - lowY) * kernelWidth + b.x + k % 2 - lowX) * 0x01010101u;
                EACH_TEXEL(t) {
                    uint other = packed[dj][di][t] ^ tap;
                    [[unroll]] for (int c = 0; c < 4; ++c)
                        if ((other & 255u << 8 * c) == 0u) sums[k][t][c] += g[dj][di][t][c];
                }
            }
    }
    if (neuron != neuronNone) {
        [[unroll]] for (int k = 0; k < 4; ++k)
            EACH_TEXEL(t) sums[k][t] *= derivativeAt(results[k][t], b.at.slice + t);
    }
    STORE_PIXEL_BLOCK(b, sums)
}
