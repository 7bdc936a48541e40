// Sums over an image's pixels, one workgroup for a block of slices. Invocation i has slice
// i % blockLanes of the block and every (lanes / blockLanes)th pixel. The order of the sums depends
// on the image's shape only.
#ifndef MPSVK_GROUPNORMALIZATION_GLSL
#define MPSVK_GROUPNORMALIZATION_GLSL

#include "CNNGroupNormalization.h"
layout(local_size_x_id = 32) in;
#include "pixel.glsl"

layout(constant_id = 33) const uint stage = sumsPart;

// What the upper half of the lanes hands to the lower one; afterwards, values of the slices.
shared vec4 sharedFirst[gl_WorkGroupSize.x / 2u], sharedSecond[gl_WorkGroupSize.x / 2u];

uint slicesOf(ImageView v) { return (v.channels + 3u) / 4u; }

struct Block {
    uint image, part;
    uint slice, inBlock; // of the image, of the block
    uint lane, lanes;    // among those of this slice
    bool exists;         // the slice does
};

// The last workgroups of a folded grid have an image beyond the last one.
Block blockOf(uint blockSlices, uint blockLanes, uint blocks, uint parts, uint slices) {
    uint index = gl_WorkGroupID.x + gl_WorkGroupID.y * gl_NumWorkGroups.x;
    uint block = index % blocks;
    Block b;
    b.part = index / blocks % parts;
    b.image = index / blocks / parts;
    b.inBlock = gl_LocalInvocationID.x % blockLanes;
    b.slice = block * blockSlices + b.inBlock;
    b.lane = gl_LocalInvocationID.x / blockLanes;
    b.lanes = gl_WorkGroupSize.x / blockLanes;
    b.exists = b.inBlock < blockSlices && b.slice < slices;
    return b;
}

// A walk over the pixels of a rectangle in steps of `step`, forwards or backwards.
struct Walk {
    int x, y, width, stepX, stepY;
};

Walk walkFrom(uint pixel, uint step, uint width) {
    return Walk(int(pixel % width), int(pixel / width), int(width), int(step % width), int(step / width));
}

void advance(inout Walk w) {
    w.x += w.stepX;
    w.y += w.stepY;
    if (w.x >= w.width) {
        w.x -= w.width;
        ++w.y;
    }
}

void retreat(inout Walk w) {
    w.x -= w.stepX;
    w.y -= w.stepY;
    if (w.x < 0) {
        w.x += w.width;
        --w.y;
    }
}

// How many of `count` items a lane has: lane, lane + lanes, ...
uint itemsOf(uint lane, uint lanes, uint count) {
    return lane < count ? (count - 1u - lane) / lanes + 1u : 0u;
}

#endif
