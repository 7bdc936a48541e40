// y = f(gamma * (x - mean) / sqrt(variance + epsilon) + beta), or with an addend before f.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "CNNBatchNormalization.h"
#include "batchNormalization.glsl"

IMAGE_SOURCE(1, source)
IMAGE_EDGE_READ(source)
IMAGE_SOURCE(2, addend)
IMAGE_DESTINATION(3, destination)
layout(constant_id = 33) const uint adds = 0u;

const uint ahead = 4u / texels; // reads under way at once

Normalization n[2];

void normalizePixels(inout Walk w, uint count) {
    Walk to = w;
    vec4 x[ahead][2], more[ahead][2];
    [[unroll]] for (uint k = 0u; k < ahead; ++k) {
        if (k < count) {
            x[k] = source_readTexels(p.source, p.sourceX + w.x, p.sourceY + w.y, w.slice, w.image,
                                     p.clampEdges);
            if (adds != 0u)
                more[k] = addend_loadTexels(p.addend, p.destinationX + w.x, p.destinationY + w.y, w.slice,
                                            w.image);
            walkStep(w, p.walk);
        }
    }
    [[unroll]] for (uint k = 0u; k < ahead; ++k) {
        if (k < count) {
            EACH_TEXEL(t) {
                vec4 z = (x[k][t] - n[t].mean) * (n[t].gamma * n[t].inverseDeviation) + n[t].beta;
                if (adds != 0u) z = z + more[k][t] + p.zero;
                x[k][t] = neuronForward(type, z, n[t].slope, vec4(p.b), vec4(p.c));
            }
            destination_storeTexels(p.destination, p.destinationX + to.x, p.destinationY + to.y, w.slice,
                                    to.image, x[k]);
            walkStep(to, p.walk);
        }
    }
    w.left -= count;
}

void main() {
    if (walkGroup() >= p.walk.tiles * p.walk.chunks) return;
    Walk w = walkBegin(p.walk, walkGroup(), (p.source.channels + 3u) / 4u);
    n = normalizationsOf(w.slice);
    while (w.left >= ahead) normalizePixels(w, ahead);
    while (w.left > 0u) normalizePixels(w, 1u);
}
