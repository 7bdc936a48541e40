// The Gram matrix from partial sums, added up in the order of the parts. A workgroup makes a block
// of a tile and its reflection.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "NNGramMatrixCalculation.h"
#include "image.glsl"

layout(local_size_x = 256) in;
layout(set = 0, binding = 0) uniform Parameters { NNGramMatrixParameters p; };
IMAGE_DESTINATION(2, destination)
layout(set = 0, binding = 3, std430) readonly buffer Partials { vec4 partials[]; };

const uint TEXELS = gramTile / 4u;
const uint BLOCK_TEXELS = gramBlock / 4u;
const uint BLOCKS = gramTile / gramBlock; // along a side of a tile
shared float block[gramBlock][gramBlock + 1u];

void store(uint f, uint slice, uint image, vec4 value) {
    if (f < p.destination.channels && slice * 4u < p.destination.channels)
        destination_store(p.destination, int(f), 0, slice, image, p.alpha * value);
}

void main() {
    uint group = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
    uint part = group % (BLOCKS * BLOCKS);
    uint pair = group / (BLOCKS * BLOCKS) % p.tilePairs;
    uint image = group / (BLOCKS * BLOCKS) / p.tilePairs;
    if (image >= p.images) return;
    uint row = 0u, column = pair;
    while (column >= p.tiles - row) {
        column -= p.tiles - row;
        ++row;
    }
    column += row;

    uint r = gl_LocalInvocationID.x / BLOCK_TEXELS, texel = gl_LocalInvocationID.x % BLOCK_TEXELS;
    uint firstRow = part / BLOCKS * gramBlock, firstTexel = part % BLOCKS * BLOCK_TEXELS;
    uint at = ((image * p.splits * p.tilePairs + pair) * gramTile + firstRow + r) * TEXELS +
              firstTexel + texel;
    vec4 sum = vec4(0.0);
    for (uint split = 0u; split < p.splits; ++split)
        sum += partials[at + split * p.tilePairs * gramTile * TEXELS];
    store(row * gramTile + firstRow + r, column * TEXELS + firstTexel + texel, image, sum);
    for (uint lane = 0u; lane < 4u; ++lane) block[texel * 4u + lane][r] = sum[lane];
    barrier();
    if (row == column) return; // the tile holds its own reflection
    vec4 reflected = vec4(block[r][texel * 4u], block[r][texel * 4u + 1u],
                          block[r][texel * 4u + 2u], block[r][texel * 4u + 3u]);
    store(column * gramTile + firstTexel * 4u + r, row * TEXELS + firstRow / 4u + texel, image,
          reflected);
}
