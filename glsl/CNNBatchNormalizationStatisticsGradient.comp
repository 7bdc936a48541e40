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

const uint ahead = 4u; // reads under way at once

void main() {
    if (walkGroup() >= p.walk.tiles * p.walk.chunks) return; // all of the workgroup
    uint slices = (p.source.channels + 3u) / 4u;
    Walk w = walkBegin(p.walk, slices);
    Normalization n = normalizationOf(w.slice);
    vec4 gammaSum = vec4(0.0), betaSum = vec4(0.0);
    while (w.left > 0u) {
        uint count = min(w.left, ahead);
        vec4 x[ahead], g[ahead];
        for (uint k = 0u; k < ahead; ++k) {
            x[k] = g[k] = vec4(0.0);
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
                gammaSum += e * normalizedX;
                betaSum += e;
            }
        }
        w.left -= count;
    }
    sumsOfGroup(gammaSum, betaSum, w.lanes);
    if (w.row != 0u || w.slice >= slices) return;
    uint at = 2u * (w.slice * p.walk.chunks + w.chunk);
    partials[at] = gammaSum;
    partials[at + 1u] = betaSum;
}
