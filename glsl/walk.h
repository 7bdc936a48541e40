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
    uint chunkPixels;   // from a chunk's first pixel to the next one's
    uint span;          // from a chunk's first pixel to its end
    uint step;          // from a pixel of an invocation to the next
    uint stepX, stepY, stepImages; // the same
    uint fromEnd;       // the last chunk first
    uint padding0, padding1, padding2;
};

MPSVK_SHARED_END

#endif
