// Parameters of resizing, cropping and sampling at a grid.
#ifndef MPSVK_NNRESIZE_H
#define MPSVK_NNRESIZE_H

#include "types.h"

MPSVK_SHARED_BEGIN

// Result pixel x reads at offset + x * numerator / denominator.
struct NNResizeBilinearParameters {
    ImageView source;
    ImageView destination;
    int clipX, clipY;
    int offsetX, offsetY;
    uint numeratorX, denominatorX, numeratorY, denominatorY;
};

// A number of which 2^-32 is the unit.
struct FixedPoint {
    int whole;
    uint fraction;
};

// Result pixel x of a region reads at startX + x * stepX.
struct CropRegion {
    FixedPoint startX, stepX, startY, stepY;
};

struct NNCropAndResizeBilinearParameters {
    ImageView source;
    ImageView destination; // of an image's first region
    int clipX, clipY;
    uint clipWidth, clipHeight;
    uint images;
    uint regions;
    uint regionStride; // from one region's result to the next, in texels
    uint clampEdges;
};

struct NNGridSampleParameters {
    ImageView source;
    ImageView grid;
    ImageView destination;
    int clipX, clipY;
    int gridX, gridY, gridStrideX, gridStrideY;
    float offsetX, offsetY; // added to what the grid says
    float stepX, stepY;     // and, for each pixel of the result, these
    uint clampEdges;
    uint padding0;
};

MPSVK_SHARED_END

#endif
