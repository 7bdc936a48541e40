// Sums over an image's pixels, one workgroup for a block of slices. Invocation i has texel, or pair of
// texels, i % blockLanes of the block and every (lanes / blockLanes)th pixel. The order of the sums
// depends on the image's shape only.
#ifndef MPSVK_GROUPNORMALIZATION_GLSL
#define MPSVK_GROUPNORMALIZATION_GLSL

#include "CNNGroupNormalization.h"
#include "pixel.glsl"

layout(local_size_x_id = 32) in;
layout(constant_id = 33) const uint stage = sumsPart;

// What the upper half of the lanes hands to the lower one; afterwards, values of the slices.
shared vec4 sharedFirst[gl_WorkGroupSize.x / 2u * texels], sharedSecond[gl_WorkGroupSize.x / 2u * texels];

const uint ahead = 4u / texels; // reads under way at once

uint slicesOf(ImageView v) { return (v.channels + 3u) / 4u; }

struct Block {
    bool merges; // the parts' sums; otherwise it makes them
    uint image, part;
    uint slice, inBlock; // the first of its slices: of the image, of the block
    uint lane, lanes;    // among those of this slice
    bool exists;         // the slice does
    bool valid;          // the workgroup does
};

// The last workgroups of a folded grid do not exist, nor do their images.
Block blockOf(ImageChunks chunks, uint blockSlices, uint blockLanes, uint blocks, uint parts, uint slices) {
    uint index = gl_WorkGroupID.x + gl_WorkGroupID.y * gl_NumWorkGroups.x;
    Block b;
    b.merges = stage == sumsMerge;
    uint first = 0u, count = chunks.sumsCount;
    if (stage == sumsChunks) {
        // Sums and results in turn, so that memory is read and written at the same time.
        uint of = blocks * parts, pairs = of * min(chunks.sumsCount, chunks.resultsCount);
        b.merges = index < 2u * pairs ? (index & 1u) != 0u : chunks.resultsCount > chunks.sumsCount;
        index = index < 2u * pairs ? index >> 1 : index - pairs;
        first = b.merges ? chunks.resultsFirst : chunks.sumsFirst;
        if (b.merges) count = chunks.resultsCount;
    } else if (stage == sumsMerge) parts = 1u;
    uint block = index % blocks;
    index /= blocks;
    b.part = index % parts;
    b.image = first + index / parts;
    b.inBlock = gl_LocalInvocationID.x % blockLanes * texels;
    b.slice = block * blockSlices + b.inBlock;
    b.lane = gl_LocalInvocationID.x / blockLanes;
    b.lanes = gl_WorkGroupSize.x / blockLanes;
    b.exists = b.inBlock < blockSlices && b.slice < slices;
    b.valid = index / parts < count;
    return b;
}

// How many of `count` items a lane has: lane, lane + lanes, ...
uint itemsOf(uint lane, uint lanes, uint count) {
    return lane < count ? (count - 1u - lane) / lanes + 1u : 0u;
}

// A walk over the pixels of a rectangle in steps of `step`, forwards or backwards.
struct Walk {
    int x, y, width, stepX, stepY;
};

Walk walkFrom(uint pixel, uint step, uint width) {
    return Walk(int(pixel % width), int(pixel / width), int(width), int(step % width), int(step / width));
}

// The last of the `items` items from `first` on that a lane has.
Walk walkFromLast(uint first, uint items, uint lane, uint lanes, uint width) {
    return walkFrom(first + lane + (max(itemsOf(lane, lanes, items), 1u) - 1u) * lanes, lanes, width);
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

#endif
