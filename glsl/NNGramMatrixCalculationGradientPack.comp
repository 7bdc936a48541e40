// alpha * (G + its transpose), a block by a workgroup.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "NNGramMatrixCalculation.h"
#include "image.glsl"

layout(local_size_x = 256) in;
layout(set = 0, binding = 0) uniform Parameters { NNGramMatrixGradientParameters p; };
IMAGE_SOURCE(1, gradient)
layout(set = 0, binding = 4, std430) writeonly buffer Factors { vec4 factors[]; };

const uint BLOCK_TEXELS = gramBlock / 4u;
shared float block[gramBlock][gramBlock + 1u];

vec4 load(uint f, uint slice, uint image) {
    if (f >= p.source.channels || slice >= p.slices) return vec4(0.0);
    return gradient_load(p.gradient, int(f), 0, slice, image);
}

void main() {
    uint group = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
    uint blocks = (p.slices + BLOCK_TEXELS - 1u) / BLOCK_TEXELS;
    uint column = group % blocks, row = group / blocks % blocks, image = group / blocks / blocks;
    if (image >= p.images) return;
    uint r = gl_LocalInvocationID.x / BLOCK_TEXELS, texel = gl_LocalInvocationID.x % BLOCK_TEXELS;
    vec4 reflected = load(column * gramBlock + r, row * BLOCK_TEXELS + texel, image);
    for (uint lane = 0u; lane < 4u; ++lane) block[texel * 4u + lane][r] = reflected[lane];
    barrier();
    uint f = row * gramBlock + r, slice = column * BLOCK_TEXELS + texel;
    if (f >= p.slices * 4u || slice >= p.slices) return;
    vec4 sum = load(f, slice, image) +
               vec4(block[r][texel * 4u], block[r][texel * 4u + 1u], block[r][texel * 4u + 2u],
                    block[r][texel * 4u + 3u]);
    factors[(image * p.slices * 4u + f) * p.slices + slice] = p.alpha * sum;
}
