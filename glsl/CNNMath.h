// Parameters of CNNArithmetic, CNNArithmeticGradient and CNNArithmeticGradientSum.
#ifndef MPSVK_CNNMATH_H
#define MPSVK_CNNMATH_H

#include "types.h"
#include "walk.h"

MPSVK_SHARED_BEGIN

const uint arithmeticAdd = 0u;
const uint arithmeticSubtract = 1u;
const uint arithmeticMultiply = 2u;
const uint arithmeticDivide = 3u;
const uint arithmeticCompare = 4u;

struct CNNArithmeticParameters {
    ImageView primary;
    ImageView secondary;
    ImageView destination;
    int clipX, clipY;
    uint clipWidth;
    int primaryOffsetX, primaryOffsetY, secondaryOffsetX, secondaryOffsetY;
    int primaryStrideX, primaryStrideY, secondaryStrideX, secondaryStrideY; // 0 or 1
    uint primaryStrideChannels, secondaryStrideChannels;
    uint primaryClampEdges, secondaryClampEdges;
    float primaryScale, secondaryScale, bias;
    uint operation;
    uint comparison; // NNComparisonType
    float threshold;
    uint clamps;
    float minimum, maximum;
    uint writesMask;
    uint maskStride; // words from one image's mask to the next
    float neuronA, neuronB, neuronC;
    uint padding0, padding1, padding2;
};

// The pixels that a sum walks over along an axis are those of the forward clip rectangle in the
// gradient image: [begin, begin + size).
struct CNNArithmeticGradientParameters {
    ImageView gradient;
    ImageView secondary;
    ImageView destination;
    WalkParameters walk; // of CNNArithmeticGradientPixels
    int clipX, clipY;
    uint clipWidth, clipHeight;
    int beginX, beginY;
    uint sizeX, sizeY;
    int gradientOffsetX, gradientOffsetY;
    int sumX, sumY; // the pixel of the clip rectangle that has the sum
    uint reducesX, reducesY, reducesChannels;
    uint clampsX, clampsY; // the forward operand's edge pixels were read for those beyond it
    uint multiplies;
    int secondaryOffsetX, secondaryOffsetY, secondaryStrideX, secondaryStrideY;
    uint secondaryStrideChannels, secondaryClampEdges;
    uint readsMask, maskStride;
    float scale;
    uint images;
    uint lanes; // invocations that share a result: a power of two
    uint parts; // teams of so many that share one; above 1, their sums go to a buffer
    uint operandWidth, operandHeight; // of the forward operand
};

struct CNNArithmeticGradientSumParameters {
    ImageView destination;
    int clipX, clipY;
    uint parts;
    uint reducesChannels;
};

MPSVK_SHARED_END

#endif
