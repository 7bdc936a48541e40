// Of each channel over a chunk of pixels: the sums of e * x^ and of e, with e = dL/dy * f'(z) and
// x^ = (x - mean) / sqrt(variance + epsilon).
#version 450
#extension GL_GOOGLE_include_directive : require
#include "CNNBatchNormalization.h"
#include "batchNormalization.glsl"
#include "groupSums.glsl"

IMAGE_SOURCE(1, source)
IMAGE_EDGE_READ(source)
IMAGE_SOURCE(2, gradient)
IMAGE_EDGE_READ(gradient)
layout(set = 0, binding = 3, std430) writeonly buffer Partials { vec4 partials[]; };

const uint ahead = 4u / texels; // reads under way at once

Normalization n[2];
vec4 gammaSum[2] = vec4[2](vec4(0.0), vec4(0.0)), betaSum[2] = vec4[2](vec4(0.0), vec4(0.0));

void addPixels(inout Walk w, uint count) {
    vec4 x[ahead][2], g[ahead][2];
    [[unroll]] for (uint k = 0u; k < ahead; ++k) {
        if (k < count) {
            x[k] = source_readTexels(p.source, p.sourceX + w.x, p.sourceY + w.y, w.slice, w.image,
                                     p.clampEdges);
            g[k] = gradient_readTexels(p.gradient, p.gradientX + w.x, p.gradientY + w.y, w.slice, w.image, 0u);
            walkStep(w, p.walk);
        }
    }
    [[unroll]] for (uint k = 0u; k < ahead; ++k) {
        if (k < count)
            EACH_TEXEL(t) {
                vec4 normalizedX = normalized(n[t], x[k][t]);
                vec4 e = throughNeuron(n[t], g[k][t], normalizedX);
                gammaSum[t] += e * normalizedX;
                betaSum[t] += e;
            }
    }
    w.left -= count;
}

void main() {
    if (walkGroup() >= p.walk.tiles * p.walk.chunks) return; // all of the workgroup
    uint slices = (p.source.channels + 3u) / 4u;
    Walk w = walkBegin(p.walk, walkGroup(), slices);
    n = normalizationsOf(w.slice);
    while (w.left >= ahead) addPixels(w, ahead);
    while (w.left > 0u) addPixels(w, 1u);
    EACH_TEXEL(t) sumsOfGroup(gammaSum[t], betaSum[t], w.lanes);
    if (w.row != 0u || w.slice >= slices) return;
    EACH_TEXEL(t) {
        uint at = 2u * ((w.slice + t) * p.walk.chunks + w.chunk);
        partials[at] = gammaSum[t];
        partials[at + 1u] = betaSum[t];
    }
}
