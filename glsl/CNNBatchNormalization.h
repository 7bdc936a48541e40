// Parameters of the batch normalization kernels.
#ifndef MPSVK_CNNBATCHNORMALIZATION_H
#define MPSVK_CNNBATCHNORMALIZATION_H

#include "walk.h"

MPSVK_SHARED_BEGIN

struct CNNBatchNormalizationParameters {
    ImageView source;
    ImageView gradient;
    ImageView destination;
    ImageView addend;
    WalkParameters walk;
    int sourceX, sourceY; // of the rectangle's first pixel
    int gradientX, gradientY;
    int destinationX, destinationY;
    uint clampEdges;
    float epsilon;
    float inverseCount; // of the pixels that the statistics are of; 0: of other ones
    float a, b, c;      // of the neuron
    float zero;         // what an addition adds as well, so that no sum is -0
};

struct CNNBatchNormalizationReduceParameters {
    uint channels;
    uint chunks, rows, pixels; // chunk k has the rows of pixels k, k + chunks, ...
    float previousPixels; // that the result holds already
    uint padding0, padding1, padding2;
};

MPSVK_SHARED_END

#endif
