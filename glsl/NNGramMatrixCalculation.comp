// Partial sums of X[f] * X[c] over a part of an image's pixels, for one tile of channels f and c.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "gramTile.glsl"

layout(set = 0, binding = 0) uniform Parameters { NNGramMatrixParameters p; };
IMAGE_SOURCE(1, source)
layout(set = 0, binding = 3, std430) writeonly buffer Partials { vec4 partials[]; };

const uint STEP = 16u; // pixels
shared vec4 rows[STEP * TEXELS];
shared vec4 columns[STEP * TEXELS];

vec4 load(uint pixel, uint end, uint slice, uint image) {
    if (pixel >= end || slice * 4u >= p.source.channels) return vec4(0.0);
    int x = int(pixel), y = 0;
    if (source_storage == STORAGE_TEXTURE) { // buffers come as one long row
        y = x / int(p.source.width);
        x -= y * int(p.source.width);
    }
    return source_load(p.source, x, y, slice, image);
}

void main() {
    uint group = workgroup();
    if (group >= p.tilePairs * p.splits * p.images) return;
    uint column = group % p.tilePairs;
    uint split = group / p.tilePairs % p.splits;
    uint image = group / p.tilePairs / p.splits;
    uint row = 0u;
    while (column >= p.tiles - row) {
        column -= p.tiles - row;
        ++row;
    }
    column += row;

    uint thread = gl_LocalInvocationID.x;
    uint texel = thread % TEXELS;
    uint lane = thread % LANE, rowLane = thread / LANE;
    uint first = split * p.splitPixels;
    uint end = min(first + p.splitPixels, p.pixels);
    vec4 nextRows[LOADS], nextColumns[LOADS];
    vec4 sums[8][2];
    [[unroll]] for (uint i = 0u; i < 8u; ++i) {
        sums[i][0] = vec4(0.0);
        sums[i][1] = vec4(0.0);
    }
    // The first round only loads, the last one only multiplies.
    for (uint k = first; k < end + STEP; k += STEP) {
        if (k < end) {
            [[unroll]] for (uint i = 0u; i < LOADS; ++i) {
                uint pixel = k + thread / TEXELS + i * (64u / TEXELS);
                nextRows[i] = load(pixel, end, row * TEXELS + texel, image);
                nextColumns[i] = load(pixel, end, column * TEXELS + texel, image);
            }
        }
        if (k > first) {
            for (uint s = 0u; s < STEP; ++s) {
                vec4 upper = rows[s * TEXELS + rowLane];
                vec4 lower = rows[s * TEXELS + rowLane + LANE];
                vec4 left = columns[s * TEXELS + lane];
                vec4 right = columns[s * TEXELS + lane + LANE];
                [[unroll]] for (uint i = 0u; i < 4u; ++i) {
                    GRAM_MULTIPLY(i, upper[i])
                    GRAM_MULTIPLY(i + 4u, lower[i])
                }
            }
        }
        barrier();
        if (k < end) {
            [[unroll]] for (uint i = 0u; i < LOADS; ++i) {
                rows[thread + i * 64u] = nextRows[i];
                columns[thread + i * 64u] = nextColumns[i];
            }
        }
        barrier();
    }
    uint at = group * gramTile * TEXELS + lane;
    [[unroll]] for (uint i = 0u; i < 8u; ++i) {
        uint r = (rowLane + i / 4u * LANE) * 4u + i % 4u;
        partials[at + r * TEXELS] = sums[i][0];
        partials[at + r * TEXELS + LANE] = sums[i][1];
    }
}
