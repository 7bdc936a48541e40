// Parameters of the optimizers, read by C++ and GLSL alike.
#ifndef MPSVK_GLSL_NNOPTIMIZER_H
#define MPSVK_GLSL_NNOPTIMIZER_H

#include "types.h"

MPSVK_SHARED_BEGIN

// Elements of one tensor. Element (row, column) of an operand lies at offset + row * stride + column of
// its VkBuffer, in floats: the stride is that of the dispatch, which binds the buffer from `base` on.
struct MPSVK_ALIGNED OptimizerRange {
    uint firstGroup; // the workgroups from there to the next range's first one work on it
    uint columns;
    uint gradientOffset;
    uint valuesOffset;
    uint resultOffset;
    uint momentAOffset;
    uint momentBOffset;
    uint momentCOffset;
};

// What the ranges of a dispatch have in common. They come behind it.
struct NNOptimizerParameters {
    uint mode;  // the optimizer's own: see optimizerMode...
    uint clips; // 1: gradients are limited to [clipMin, clipMax]
    float clipMin;
    float clipMax;
    float rescale;
    uint regularization; // 0, 1 or 2: none, L1, L2
    float regularizationScale;
    float rate;  // the learning rate, bias-corrected for Adam
    float beta1; // momentum scale, or Adam's beta1
    float rest1; // 1 - beta1
    float beta2; // decay, or Adam's beta2
    float rest2; // 1 - beta2
    float epsilon;
    uint rows; // of each range: 1 where they have no gaps, and then no strides
    uint gradientStride;
    uint valuesStride;
    uint resultStride;
    uint momentAStride;
    uint momentBStride;
    uint momentCStride;
    // The same for ranges that may share a dispatch up to here.
    uint rangeCount;
    uint gradientBase;
    uint valuesBase;
    uint resultBase;
    uint momentABase;
    uint momentBBase;
    uint momentCBase;
    uint padding0;
};

const uint optimizerMostRanges = 128;
const uint optimizerElementsPerGroup = 1024; // four for each invocation

#ifdef __cplusplus
constexpr uint optimizerModePlain = 0, optimizerModeMomentum = 1, optimizerModeNesterov = 2;
constexpr uint optimizerModeMaximum = 1; // AMSGrad
#else
const uint optimizerModePlain = 0u;
const uint optimizerModeMomentum = 1u;
const uint optimizerModeNesterov = 2u;
const uint optimizerModeMaximum = 1u;
#endif

MPSVK_SHARED_END

#endif
