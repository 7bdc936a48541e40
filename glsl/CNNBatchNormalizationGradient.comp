// dx = gamma / sqrt(variance + epsilon) * (e - dbeta / N - x^ * dgamma / N), with e = dL/dy * f'(z)
// and x^ = (x - mean) / sqrt(variance + epsilon).
#version 450
#extension GL_GOOGLE_include_directive : require
#include "CNNBatchNormalization.h"
#include "batchNormalization.glsl"

IMAGE_SOURCE(1, source)
IMAGE_EDGE_READ(source)
IMAGE_SOURCE(2, gradient)
IMAGE_EDGE_READ(gradient)
IMAGE_DESTINATION(3, destination)
CHANNELS(9, gradientForGamma)
CHANNELS(10, gradientForBeta)

const uint ahead = 4u / texels; // reads under way at once

Normalization n[2];
vec4 ofMean[2] = vec4[2](vec4(0.0), vec4(0.0)), ofDeviation[2] = vec4[2](vec4(0.0), vec4(0.0));

void writePixels(inout Walk w, uint count) {
    Walk to = w;
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
        if (k < count) {
            EACH_TEXEL(t) {
                vec4 normalizedX = normalized(n[t], x[k][t]);
                vec4 e = throughNeuron(n[t], g[k][t], normalizedX);
                g[k][t] = n[t].gamma * n[t].inverseDeviation * (e - ofMean[t] - normalizedX * ofDeviation[t]);
            }
            destination_storeTexels(p.destination, p.destinationX + to.x, p.destinationY + to.y, w.slice,
                                    to.image, g[k]);
            walkStep(to, p.walk);
        }
    }
    w.left -= count;
}

void main() {
    if (walkGroup() >= p.walk.tiles * p.walk.chunks) return;
    Walk w = walkBegin(p.walk, walkGroup(), (p.source.channels + 3u) / 4u);
    n = normalizationsOf(w.slice);
    if (p.inverseCount > 0.0)
        EACH_TEXEL(t) {
            ofMean[t] = gradientForBeta_of(w.slice + t) * p.inverseCount;
            ofDeviation[t] = gradientForGamma_of(w.slice + t) * p.inverseCount;
        }
    while (w.left >= ahead) writePixels(w, ahead);
    while (w.left > 0u) writePixels(w, 1u);
}
