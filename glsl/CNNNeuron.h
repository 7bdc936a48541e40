// Parameters of CNNNeuron and CNNNeuronGradient.
#ifndef MPSVK_CNNNEURON_H
#define MPSVK_CNNNEURON_H

#include "types.h"

MPSVK_SHARED_BEGIN

struct CNNNeuronParameters {
    ImageView source;
    ImageView destination;
    int clipX, clipY;
    int offsetX, offsetY;
    uint clampEdges;
    float a, b, c;
};

struct CNNNeuronGradientParameters {
    ImageView gradient;
    ImageView source;
    ImageView destination;
    ImageView added; // another gradient, of the same pixels as the first
    int clipX, clipY;
    int gradientOffsetX, gradientOffsetY, sourceOffsetX, sourceOffsetY;
    float a, b, c;
    uint padding0, padding1, padding2;
};

MPSVK_SHARED_END

#endif
