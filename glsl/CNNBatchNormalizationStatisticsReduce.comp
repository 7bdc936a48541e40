// The second pass of the statistics: brings the chunks of a slice together, in order, and what the
// state holds already.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "CNNBatchNormalization.h"
#include "moments.glsl"

const uint size = 256u;
const uint ahead = 2u; // reads under way at once

layout(local_size_x = 256) in;
layout(set = 0, binding = 0) uniform Parameters { CNNBatchNormalizationReduceParameters p; };
layout(set = 0, binding = 1, std430) readonly buffer Partials { vec4 partials[]; };
layout(set = 0, binding = 2, std430) buffer Mean { float mean[]; };
layout(set = 0, binding = 3, std430) buffer Variance { float variance[]; };

uint pixelsOf(uint chunk) {
    uint steps = (p.pixels + p.rows - 1u) / p.rows;
    uint own = (steps - chunk + p.chunks - 1u) / p.chunks;
    bool hasLast = (steps - 1u - chunk) % p.chunks == 0u; // which may have fewer pixels
    return own * p.rows - (hasLast ? steps * p.rows - p.pixels : 0u);
}

void main() {
    uint slice = gl_WorkGroupID.x + gl_WorkGroupID.y * gl_NumWorkGroups.x;
    if (slice * 4u >= p.channels) return; // all of the workgroup
    uint thread = gl_LocalInvocationID.x;
    Moments all = Moments(0.0, vec4(0.0), vec4(0.0));
    for (uint first = thread; first < p.chunks; first += ahead * size) {
        vec4 means[ahead], squares[ahead];
        [[unroll]] for (uint k = 0u; k < ahead; ++k) {
            uint at = 2u * (slice * p.chunks + min(first + k * size, p.chunks - 1u));
            means[k] = partials[at];
            squares[k] = partials[at + 1u];
        }
        [[unroll]] for (uint k = 0u; k < ahead; ++k) {
            uint chunk = first + k * size;
            if (chunk < p.chunks) momentsMerge(all, Moments(float(pixelsOf(chunk)), means[k], squares[k]));
        }
    }
    momentsOfGroup(all, 1u);
    if (thread != 0u) return;
    if (p.previousPixels > 0.0) {
        Moments before = Moments(p.previousPixels, vec4(0.0), vec4(0.0));
        for (uint lane = 0u; lane < 4u && slice * 4u + lane < p.channels; ++lane) {
            before.mean[lane] = mean[slice * 4u + lane];
            before.squares[lane] = variance[slice * 4u + lane] * p.previousPixels;
        }
        momentsMerge(before, all);
        all = before;
    }
    for (uint lane = 0u; lane < 4u && slice * 4u + lane < p.channels; ++lane) {
        mean[slice * 4u + lane] = all.mean[lane];
        variance[slice * 4u + lane] = all.squares[lane] / all.count;
    }
}
