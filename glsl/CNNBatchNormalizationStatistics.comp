// Mean and squared deviations of each channel over a chunk of pixels.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "CNNBatchNormalization.h"
layout(local_size_x = 256) in;
#include "moments.glsl"
#include "pixel.glsl"
#include "walk.glsl"

layout(set = 0, binding = 0) uniform Parameters { CNNBatchNormalizationParameters p; };
IMAGE_SOURCE(1, source)
layout(set = 0, binding = 2, std430) writeonly buffer Partials { vec4 partials[]; };

const uint ahead = 8u / texels; // reads under way at once

Moments all[2];

void addPixels(inout Walk w, uint count) {
    vec4 x[ahead][2];
    [[unroll]] for (uint k = 0u; k < ahead; ++k) {
        x[k] = vec4[2](vec4(0.0), vec4(0.0));
        if (k < count) {
            x[k] = source_loadTexels(p.source, p.sourceX + w.x, p.sourceY + w.y, w.slice, w.image);
            walkStep(w, p.walk);
        }
    }
    EACH_TEXEL(t) {
        Moments block = Moments(float(count), vec4(0.0), vec4(0.0));
        // Relative to the first one: the mean of equal values is that value.
        [[unroll]] for (uint k = 1u; k < ahead; ++k) {
            if (k < count) block.mean += x[k][t] - x[0][t];
        }
        block.mean = x[0][t] + block.mean / float(count);
        [[unroll]] for (uint k = 0u; k < ahead; ++k) {
            vec4 d = x[k][t] - block.mean;
            if (k < count) block.squares += d * d;
        }
        momentsMerge(all[t], block);
    }
    w.left -= count;
}

void main() {
    if (walkGroup() >= p.walk.tiles * p.walk.chunks) return; // all of the workgroup
    uint slices = (p.source.channels + 3u) / 4u;
    Walk w = walkBegin(p.walk, walkGroup(), slices);
    all[0] = all[1] = Moments(0.0, vec4(0.0), vec4(0.0));
    while (w.left >= ahead) addPixels(w, ahead);
    while (w.left > 0u) addPixels(w, 1u);
    EACH_TEXEL(t) momentsOfGroup(all[t], w.lanes);
    if (w.row != 0u || w.slice >= slices) return;
    EACH_TEXEL(t) {
        uint at = 2u * ((w.slice + t) * p.walk.chunks + w.chunk);
        partials[at] = all[t].mean;
        partials[at + 1u] = all[t].squares;
    }
}
