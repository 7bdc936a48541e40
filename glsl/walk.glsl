// Workgroups of 256 that walk over the pixels of a rectangle, image after image: 2^laneBits
// invocations side by side take neighbouring slices of a pixel, `texels` each, and the rows of them
// consecutive pixels. A workgroup has a tile of slices and a chunk of pixels. An invocation keeps its
// slices, so that what belongs to channels is read once; only its first pixel costs a division.
#ifndef MPSVK_WALK_GLSL
#define MPSVK_WALK_GLSL

#include "walk.h"

const uint walkSize = 256u;

struct Walk {
    uint chunk, slice; // the first of its slices
    uint lane, row, lanes;
    int x, y;
    uint image;
    uint left; // pixels of this invocation
};

uint walkGroup() { return gl_WorkGroupID.x + gl_WorkGroupID.y * gl_NumWorkGroups.x; }

// Of workgroup `group` of tiles * chunks.
Walk walkBegin(WalkParameters p, uint group, uint slices) {
    Walk w;
    w.chunk = group / p.tiles;
    if (p.fromEnd != 0u) w.chunk = p.chunks - 1u - w.chunk;
    w.lanes = 1u << p.laneBits;
    w.lane = gl_LocalInvocationID.x & (w.lanes - 1u);
    w.row = gl_LocalInvocationID.x >> p.laneBits;
    w.slice = (((group % p.tiles) << p.laneBits) + w.lane) * texels;
    uint begin = w.chunk * p.chunkPixels, first = begin + w.row;
    uint end = begin + min(p.span, p.pixels - begin);
    w.left = first < end && w.slice < slices ? (end - first + p.step - 1u) / p.step : 0u;
    w.x = int(first % p.width);
    w.y = int(first / p.width % p.height);
    w.image = first / p.width / p.height;
    return w;
}

void walkStep(inout Walk w, WalkParameters p) {
    w.x += int(p.stepX);
    w.y += int(p.stepY);
    w.image += p.stepImages;
    if (w.x >= int(p.width)) {
        w.x -= int(p.width);
        ++w.y;
    }
    if (w.y >= int(p.height)) {
        w.y -= int(p.height);
        ++w.image;
    }
}

#endif
