// dX[c] = the sum over f of alpha * (G[f][c] + G[c][f]) * X[f], for a tile of pixels and channels.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "gramTile.glsl"

layout(set = 0, binding = 0) uniform Parameters { NNGramMatrixGradientParameters p; };
IMAGE_SOURCE(2, source)
IMAGE_DESTINATION(3, destination)
layout(set = 0, binding = 4, std430) readonly buffer Factors { vec4 factors[]; };

const uint STEP = 4u;             // texels of f
const uint ROW = gramTile + 2u;   // apart enough for the banks of shared memory
shared vec4 pixels[STEP * ROW];
shared vec4 columns[STEP * 4u * TEXELS];

vec4 loadPixel(uint pixel, uint slice, uint image) {
    if (pixel >= p.pixels || slice >= p.slices) return vec4(0.0);
    int x = int(pixel), y = 0;
    if (source_storage == STORAGE_TEXTURE) { // buffers come as one long row
        y = x / int(p.source.width);
        x -= y * int(p.source.width);
    }
    return source_load(p.source, x, y, slice, image);
}

vec4 loadFactors(uint f, uint slice, uint image) {
    if (f >= p.slices * 4u || slice >= p.slices) return vec4(0.0);
    return factors[(image * p.slices * 4u + f) * p.slices + slice];
}

void store(uint pixel, uint slice, uint image, vec4 value) {
    if (pixel >= p.pixels || slice >= p.slices) return;
    int x = int(pixel), y = 0;
    if (destination_storage == STORAGE_TEXTURE) {
        y = x / int(p.destination.width);
        x -= y * int(p.destination.width);
    }
    destination_store(p.destination, x, y, slice, image, value);
}

void main() {
    uint group = workgroup();
    if (group >= p.tiles * p.pixelTiles * p.images) return;
    uint tile = group % p.tiles;
    uint firstPixel = group / p.tiles % p.pixelTiles * gramTile;
    uint image = group / p.tiles / p.pixelTiles;

    uint thread = gl_LocalInvocationID.x;
    uint lane = thread % LANE, rowLane = thread / LANE;
    vec4 nextPixels[LOADS], nextColumns[LOADS];
    vec4 sums[8][2];
    [[unroll]] for (uint i = 0u; i < 8u; ++i) {
        sums[i][0] = vec4(0.0);
        sums[i][1] = vec4(0.0);
    }
    // The first round only loads, the last one only multiplies.
    for (uint k = 0u; k < p.slices + STEP; k += STEP) {
        if (k < p.slices) {
            [[unroll]] for (uint i = 0u; i < LOADS; ++i) {
                nextPixels[i] = loadPixel(firstPixel + thread / STEP + i * (64u / STEP),
                                          k + thread % STEP, image);
                nextColumns[i] = loadFactors(k * 4u + thread / TEXELS + i * (64u / TEXELS),
                                             tile * TEXELS + thread % TEXELS, image);
            }
        }
        if (k > 0u) {
            for (uint s = 0u; s < STEP; ++s) {
                vec4 x[8];
                [[unroll]] for (uint i = 0u; i < 8u; ++i) {
                    x[i] = pixels[s * ROW + rowLane + i * LANE];
                }
                for (uint f = 0u; f < 4u; ++f) {
                    vec4 left = columns[(s * 4u + f) * TEXELS + lane];
                    vec4 right = columns[(s * 4u + f) * TEXELS + lane + LANE];
                    [[unroll]] for (uint i = 0u; i < 8u; ++i) {
                        GRAM_MULTIPLY(i, x[i][f])
                    }
                }
            }
        }
        barrier();
        if (k < p.slices) {
            [[unroll]] for (uint i = 0u; i < LOADS; ++i) {
                pixels[thread % STEP * ROW + thread / STEP + i * (64u / STEP)] = nextPixels[i];
                columns[thread + i * 64u] = nextColumns[i];
            }
        }
        barrier();
    }
    [[unroll]] for (uint i = 0u; i < 8u; ++i) {
        uint pixel = firstPixel + rowLane + i * LANE;
        store(pixel, tile * TEXELS + lane, image, sums[i][0]);
        store(pixel, tile * TEXELS + lane + LANE, image, sums[i][1]);
    }
}
