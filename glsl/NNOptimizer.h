// Parameters of the optimizers, read by C++ and GLSL alike.
#ifndef MPSVK_GLSL_NNOPTIMIZER_H
#define MPSVK_GLSL_NNOPTIMIZER_H

#include "types.h"

MPSVK_SHARED_BEGIN

// Elements that are updated alike: element (row, column) of an operand lies at
// offset + row * stride + column of its buffer.
struct MPSVK_ALIGNED OptimizerRange {
    uint rows;
    uint columns;
    uint groups; // workgroups that work on the range
    uint gradientOffset;
    uint gradientStride;
    uint valuesOffset;
    uint valuesStride;
    uint resultOffset;
    uint resultStride;
    uint momentAOffset;
    uint momentAStride;
    uint momentBOffset;
    uint momentBStride;
    uint momentCOffset;
    uint momentCStride;
    uint reserved;
};

struct NNOptimizerParameters {
    OptimizerRange first;  // say, weights
    OptimizerRange second; // and biases
    uint mode;             // the optimizer's own: see optimizerMode...
    uint clips;            // 1: gradients are limited to [clipMin, clipMax]
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
    uint padding0;
    uint padding1;
    uint padding2;
};

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
