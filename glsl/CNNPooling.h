// Parameters of the pooling kernels and their gradients.
#ifndef MPSVK_CNNPOOLING_H
#define MPSVK_CNNPOOLING_H

#include "types.h"

MPSVK_SHARED_BEGIN

// What a tap outside the source reads.
const uint poolingEdgesZero = 0u;  // a zero
const uint poolingEdgesClamp = 1u; // the nearest pixel
const uint poolingEdgesLeave = 2u; // nothing: it does not belong to the window

struct CNNPoolingParameters {
    ImageView source;
    ImageView destination;
    int clipX, clipY;
    uint clipWidth;
    int startX, startY; // tap 0 of window 0
    int strideX, strideY;
    int kernelWidth, kernelHeight, dilationX, dilationY;
    int padX, padY; // zeros around the source that an average counts, with poolingEdgesLeave
    uint edges;
    uint selectionStride; // from one image's selections to the next
    uint padding0;
};

struct CNNPoolingGradientParameters {
    ImageView gradient;
    ImageView source; // of the forward pass
    ImageView destination;
    int clipX, clipY;
    uint clipWidth, clipHeight;
    int originX, originY; // the source pixel of the clip rectangle's first pixel
    int startX, startY;
    int strideX, strideY;
    int kernelWidth, kernelHeight, dilationX, dilationY;
    int padX, padY;
    int gradientX, gradientY; // the gradient's pixel of window 0
    int firstWindowX, firstWindowY, windowsX, windowsY;
    int sourceWidth, sourceHeight;
    uint edges;
    uint selectionStride, selectionWidth; // selectionWidth: windows in a row of the forward pass
    float neuronA, neuronB;
    uint padding0, padding1, padding2;
};

MPSVK_SHARED_END

#endif
