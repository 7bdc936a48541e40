// y = f(gamma * (x - mean) / sqrt(variance + epsilon) + beta).
#version 450
#extension GL_GOOGLE_include_directive : require
#include "CNNBatchNormalization.h"
#include "batchNormalization.glsl"

IMAGE_SOURCE(1, source)
IMAGE_EDGE_READ(source)
IMAGE_DESTINATION(3, destination)

const uint ahead = 4u; // reads under way at once

void main() {
    if (walkGroup() >= p.walk.tiles * p.walk.chunks) return;
    Walk w = walkBegin(p.walk, (p.source.channels + 3u) / 4u);
    Normalization n = normalizationOf(w.slice);
    vec4 scale = n.gamma * n.inverseDeviation;
    while (w.left > 0u) {
        uint count = min(w.left, ahead);
        Walk to = w;
        vec4 x[ahead];
        for (uint k = 0u; k < ahead; ++k) {
            if (k < count)
                x[k] = source_read(p.source, p.sourceX + w.x, p.sourceY + w.y, w.slice, w.image, p.clampEdges);
            walkStep(w, p.walk);
        }
        for (uint k = 0u; k < ahead; ++k) {
            if (k < count) {
                vec4 z = (x[k] - n.mean) * scale + n.beta;
                destination_store(p.destination, p.destinationX + to.x, p.destinationY + to.y, w.slice, to.image,
                                  neuronForward(type, z, n.slope, vec4(p.b), vec4(p.c)));
            }
            walkStep(to, p.walk);
        }
        w.left -= count;
    }
}
