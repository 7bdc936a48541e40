// Parameters of CNNLoss, CNNLossReduce, NNLossGradient and NNInitialGradient.
#ifndef MPSVK_CNNLOSS_H
#define MPSVK_CNNLOSS_H

#include "types.h"

MPSVK_SHARED_BEGIN

// What becomes of the elements' losses (CNNLossParameters::outputs).
const uint lossOutputElements = 0u; // the loss image has them all
const uint lossOutputImage = 1u;    // their reduction goes to the loss image
const uint lossOutputPartials = 2u; // the workgroup's sum goes to a buffer, for CNNLossReduce

struct CNNLossParameters {
    ImageView source;
    ImageView labels;
    ImageView weights;
    ImageView gradient;
    ImageView loss;
    uint images;     // of this dispatch
    uint firstImage; // of them, in the batch
    uint groups;     // workgroups that share an image
    uint lanes;      // invocations that share a pixel: a power of two
    uint hasWeights;
    uint writesGradient;
    uint outputs;
    float weight;
    float labelScale, labelShift; // t = label * scale + shift
    float epsilon;
    float delta;
    float lossShift, lossFactor; // loss = (sum + shift) * factor
    uint countsWeights;          // divided by the number of weights that are not 0
    uint padding0;
};

struct CNNLossReduceParameters {
    ImageView loss;
    uint images;
    uint firstImage;
    uint groups;
    uint batch;        // images in all
    uint acrossBatch;  // the first image of the batch has the loss, the others 0
    uint writesFactor; // 1 / count for NNLossGradient instead of a loss
    float lossShift, lossFactor;
    uint countsWeights;
    uint padding0, padding1, padding2;
};

struct NNLossGradientParameters {
    ImageView gradient;
    ImageView source;
    ImageView labels;
    ImageView weights;
    ImageView destination;
    uint images;
    uint firstImage;
    uint groups;
    uint lanes;
    uint hasWeights;
    uint perElement;     // the gradient has the source's size
    uint labelGradients; // dl/dt instead of dl/dy
    uint readsFactors;   // the factor of each image is in a buffer
    float factor;        // weight * rho
    float labelScale, labelShift;
    float epsilon;
    float delta;
    uint padding0, padding1, padding2;
};

struct NNInitialGradientParameters {
    ImageView destination;
    int clipX, clipY;
    uint padding0, padding1;
};

MPSVK_SHARED_END

#endif
