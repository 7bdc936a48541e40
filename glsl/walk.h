// How workgroups share the pixels of a rectangle (glsl/walk.glsl).
#ifndef MPSVK_GLSL_WALK_H
#define MPSVK_GLSL_WALK_H

#include "types.h"

MPSVK_SHARED_BEGIN

struct MPSVK_ALIGNED WalkParameters {
    uint width, height; // of the rectangle
    uint pixels;        // of all images
    uint laneBits;      // log2 of the neighbouring slices of a workgroup
    uint tiles;         // of slices
    uint chunks;        // of pixels
    uint chunkPixels;
    uint stepX, stepY, stepImages; // a step of as many pixels as a workgroup has rows
    uint padding0, padding1;
};

MPSVK_SHARED_END

#endif
