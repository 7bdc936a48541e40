// Parameters of CNNNeuron and CNNNeuronGradient.
#ifndef MPSVK_CNNNEURON_H
#define MPSVK_CNNNEURON_H

#include "types.h"

MPSVK_SHARED_BEGIN

struct CNNNeuronParameters {
    ImageView source;
    ImageView destination;
    int clipX, clipY;
    uint clipWidth, clipHeight;
    int offsetX, offsetY;
    uint clampEdges;
    uint images;
    float a, b, c;
    uint type;
};

struct CNNNeuronGradientParameters {
    ImageView gradient;
    ImageView source;
    ImageView destination;
    int clipX, clipY;
    uint clipWidth, clipHeight;
    int gradientOffsetX, gradientOffsetY, sourceOffsetX, sourceOffsetY;
    uint images;
    float a, b, c;
    uint type;
    uint padding0, padding1, padding2;
};

MPSVK_SHARED_END

#endif
