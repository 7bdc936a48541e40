// Mean and squared deviations of each channel over a chunk of pixels.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "CNNBatchNormalization.h"
#include "moments.glsl"
#include "pixel.glsl"
#include "walk.glsl"

layout(local_size_x = 256) in;
layout(set = 0, binding = 0) uniform Parameters { CNNBatchNormalizationParameters p; };
IMAGE_SOURCE(1, source)
layout(set = 0, binding = 2, std430) writeonly buffer Partials { vec4 partials[]; };

const uint ahead = 8u; // reads under way at once

void main() {
    if (walkGroup() >= p.walk.tiles * p.walk.chunks) return; // all of the workgroup
    uint slices = (p.source.channels + 3u) / 4u;
    Walk w = walkBegin(p.walk, slices);
    Moments all = Moments(0.0, vec4(0.0), vec4(0.0));
    while (w.left > 0u) {
        uint count = min(w.left, ahead);
        vec4 x[ahead];
        for (uint k = 0u; k < ahead; ++k) {
            x[k] = vec4(0.0);
            if (k < count) x[k] = source_load(p.source, p.sourceX + w.x, p.sourceY + w.y, w.slice, w.image);
            walkStep(w, p.walk);
        }
        Moments block = Moments(float(count), vec4(0.0), vec4(0.0));
        // Relative to the first one: the mean of equal values is that value.
        for (uint k = 1u; k < ahead; ++k) {
            if (k < count) block.mean += x[k] - x[0];
        }
        block.mean = x[0] + block.mean / float(count);
        for (uint k = 0u; k < ahead; ++k) {
            vec4 d = x[k] - block.mean;
            if (k < count) block.squares += d * d;
        }
        momentsMerge(all, block);
        w.left -= count;
    }
    momentsOfGroup(all, w.lanes);
    if (w.row != 0u || w.slice >= slices) return;
    uint at = 2u * (w.slice * p.walk.chunks + w.chunk);
    partials[at] = all.mean;
    partials[at + 1u] = all.squares;
}
