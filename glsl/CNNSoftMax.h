// Parameters of the softmax kernels and their gradients.
#ifndef MPSVK_CNNSOFTMAX_H
#define MPSVK_CNNSOFTMAX_H

#include "types.h"

MPSVK_SHARED_BEGIN

struct CNNSoftMaxParameters {
    ImageView source;
    ImageView destination;
    int clipX, clipY;
    int offsetX, offsetY;
    uint clampEdges;
    uint padding0, padding1, padding2;
};

struct CNNSoftMaxGradientParameters {
    ImageView gradient;
    ImageView result; // of the forward pass
    ImageView destination;
    int clipX, clipY;
    int gradientOffsetX, gradientOffsetY, resultOffsetX, resultOffsetY;
    uint padding0, padding1;
};

MPSVK_SHARED_END

#endif
