// As CNNArithmeticGradient where each channel is summed over all pixels of an image: the usual bias.
// A workgroup leaves the sum of a chunk of the pixels for CNNArithmeticGradientSum.
#version 450
#extension GL_GOOGLE_include_directive : require
layout(local_size_x = 256) in;
#include "arithmeticGradient.glsl"
#include "groupSums.glsl"
#include "walk.glsl"

const uint ahead = 8u / texels; // reads under way at once

vec4 sum[2] = vec4[2](vec4(0.0), vec4(0.0));

void addPixels(inout Walk w, uint image, uint count) {
    Walk from = w;
    vec4 g[ahead][2];
    [[unroll]] for (uint k = 0u; k < ahead; ++k)
        if (k < count) {
            g[k] = gradient_loadTexels(p.gradient, p.beginX + w.x, p.beginY + w.y, w.slice, image);
            walkStep(w, p.walk);
        }
    [[unroll]] for (uint k = 0u; k < ahead; ++k)
        if (k < count) {
            EACH_TEXEL(t)
                sum[t] += summand(g[k][t], p.beginX + from.x, p.beginY + from.y, w.slice + t, image);
            walkStep(from, p.walk);
        }
    w.left -= count;
}

void main() {
    uint perImage = p.walk.tiles * p.walk.chunks, image = walkGroup() / perImage;
    if (image >= p.images) return; // all of the workgroup
    uint slices = (p.gradient.channels + 3u) / 4u;
    Walk w = walkBegin(p.walk, walkGroup() - image * perImage, slices);
    while (w.left >= ahead) addPixels(w, image, ahead);
    while (w.left > 0u) addPixels(w, image, 1u);
    sumsOfGroup(sum[0], sum[1], w.lanes);
    if (w.row != 0u || w.slice >= slices) return;
    EACH_TEXEL(t)
        partials[(image * slices + w.slice + t) * p.walk.chunks + w.chunk] = sum[t];
}
