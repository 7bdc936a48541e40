// Parameters of dropout and its gradient.
#ifndef MPSVK_CNNDROPOUT_H
#define MPSVK_CNNDROPOUT_H

#include "types.h"

MPSVK_SHARED_BEGIN

// The mask has maskHeight x maskWidth x maskChannels elements; an axis along which it does not change
// has the size 1. It is kept as a word for each slice, a byte for each channel.
struct CNNDropoutParameters {
    ImageView source;
    ImageView destination;
    int clipX, clipY;
    int offsetX, offsetY;
    uint clampEdges;
    float keepProbability;
    uint seedLow, seedHigh, ordinalLow, ordinalHigh;
    uint firstImage; // of the batch
    uint maskWidth, maskHeight, maskChannels;
    uint perColumn, perRow, perChannel;
    uint maskStride; // words from one image's mask to the next
    uint padding0, padding1;
};

struct CNNDropoutGradientParameters {
    ImageView gradient;
    ImageView source; // of the neuron whose derivative is a factor
    ImageView destination;
    int clipX, clipY;
    int gradientOffsetX, gradientOffsetY, maskOffsetX, maskOffsetY;
    float keepProbability;
    uint maskWidth, maskHeight, maskSlices;
    uint perColumn, perRow, perChannel;
    uint maskStride;
    float neuronA, neuronB, neuronC;
    uint padding0, padding1, padding2;
};

MPSVK_SHARED_END

#endif
