// Parameters of the binary convolution kernels.
//
// Weights are packed [texel of output channels][q][r][word][4]: bit c % 32 of word c / 32 is input
// channel c; bits of channels that there are not are 0.
#ifndef MPSVK_CNNBINARYCONVOLUTION_H
#define MPSVK_CNNBINARYCONVOLUTION_H

#include "types.h"

MPSVK_SHARED_BEGIN

const uint binaryTypeWeights = 0u;
const uint binaryTypeXnor = 1u;
const uint binaryTypeAnd = 2u;
const uint binaryTilePixels = 4u; // results of a row that one invocation computes

struct CNNBinaryConvolutionParameters {
    ImageView source;
    ImageView destination;
    int clipX, clipY;
    uint clipWidth, clipHeight;
    int startX, startY; // tap 0 of window 0
    int strideX, strideY;
    int kernelWidth, kernelHeight, dilationX, dilationY;
    uint clampEdges;
    uint images;
    uint words;             // of a pixel
    float betaFactor;       // 1 / (input channels * taps)
    float outsideMagnitude; // the sum of |u| over the channels of a pixel outside
    float neuronA, neuronB, neuronC;
};

MPSVK_SHARED_END

#endif
