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

const uint ahead = 4u; // reads under way at once

void main() {
    if (walkGroup() >= p.walk.tiles * p.walk.chunks) return;
    Walk w = walkBegin(p.walk, (p.source.channels + 3u) / 4u);
    Normalization n = normalizationOf(w.slice);
    vec4 scale = n.gamma * n.inverseDeviation;
    vec4 ofMean = vec4(0.0), ofDeviation = vec4(0.0);
    if (p.inverseCount > 0.0) {
        ofMean = gradientForBeta_of(w.slice) * p.inverseCount;
        ofDeviation = gradientForGamma_of(w.slice) * p.inverseCount;
    }
    while (w.left > 0u) {
        uint count = min(w.left, ahead);
        Walk to = w;
        vec4 x[ahead], g[ahead];
        for (uint k = 0u; k < ahead; ++k) {
            if (k < count) {
                x[k] = source_read(p.source, p.sourceX + w.x, p.sourceY + w.y, w.slice, w.image, p.clampEdges);
                g[k] = gradient_read(p.gradient, p.gradientX + w.x, p.gradientY + w.y, w.slice, w.image, 0u);
            }
            walkStep(w, p.walk);
        }
        for (uint k = 0u; k < ahead; ++k) {
            if (k < count) {
                vec4 normalizedX = normalized(n, x[k]);
                vec4 e = throughNeuron(n, g[k], normalizedX);
                destination_store(p.destination, p.destinationX + to.x, p.destinationY + to.y, w.slice, to.image,
                                  scale * (e - ofMean - normalizedX * ofDeviation));
            }
            walkStep(to, p.walk);
        }
        w.left -= count;
    }
}
