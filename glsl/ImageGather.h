// Copies of images that lie anywhere in a VkBuffer to where they lie together, or back.
#ifndef MPSVK_IMAGE_GATHER_H
#define MPSVK_IMAGE_GATHER_H

#include "types.h"

MPSVK_SHARED_BEGIN

#define MPSVK_IMAGE_GATHER_MOST 128 // images of a dispatch

struct MPSVK_ALIGNED ImageGatherParameters {
    uint images;
    uint pieces;              // of 16 bytes, of an image; the last one may be shorter
    uint piecesFactor, shift; // for quotient() by it
    uint words;               // of an image
    uint back;                // 1: from where they lie together to where they lie apart
    uint padding0, padding1;
    // Of each image where it lies apart and where it lies together: in units of 16 bytes, or in words
    // where an image has no whole number of these. Those of two images stand together.
#ifdef __cplusplus
    uint places[2 * MPSVK_IMAGE_GATHER_MOST];
#else
    uvec4 places[MPSVK_IMAGE_GATHER_MOST / 2];
#endif
};

MPSVK_SHARED_END

#endif
