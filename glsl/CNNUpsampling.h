// Parameters of the upsampling kernels and their gradients.
#ifndef MPSVK_CNNUPSAMPLING_H
#define MPSVK_CNNUPSAMPLING_H

#include "types.h"

MPSVK_SHARED_BEGIN

// Result x is sampled at source position offset + x * step / per: whole numbers, so that forward
// pass and gradient agree on every position. No product reaches 2^30.
struct CNNUpsamplingParameters {
    ImageView source;
    ImageView destination;
    int clipX, clipY;
    int offsetX, offsetY;
    uint stepX, perX, stepY, perY;
    uint clampEdges;
    uint padding0, padding1, padding2;
};

struct CNNUpsamplingGradientParameters {
    ImageView gradient;
    ImageView destination;
    int clipX, clipY;
    int originX, originY; // the source pixel of the clip rectangle's first pixel
    int offsetX, offsetY;
    uint stepX, perX, stepY, perY;
    int gradientX, gradientY;       // the gradient's pixel of result 0
    int firstX, firstY, endX, endY; // the results that the gradient has
    int reachX, reachY;             // the whole part of the last result's position
    int sourceWidth, sourceHeight;
    uint clampEdges;
    uint clipWidth, clipHeight;
    uint padding0;
};

MPSVK_SHARED_END

#endif
