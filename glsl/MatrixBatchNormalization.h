// Parameters of MatrixBatchNormalization and its gradient.
#ifndef MPSVK_MATRIXBATCHNORMALIZATION_H
#define MPSVK_MATRIXBATCHNORMALIZATION_H

#include "types.h"

MPSVK_SHARED_BEGIN

// What a dispatch does with the rows of a matrix.
const uint normalizationPart = 0u;  // sums of a part of them
const uint normalizationMerge = 1u; // sums of the parts
const uint normalizationWhole = 2u; // sums of all of them, and the result
const uint normalizationResult = 3u; // the result

struct MatrixBatchNormalizationParameters {
    MatrixView source, result;
    MatrixView mean, variance, gamma, beta;
    MatrixView gradient;                    // unused by the forward pass
    MatrixView gradientGamma, gradientBeta; // their results
    // A row for each part: means and sums of squared differences from them, or the sums of the
    // gradients of gamma and beta.
    MatrixView first, second;
    uint matrices;
    uint lanes;     // invocations side by side
    uint splitRows; // rows of a part, or of an invocation
    float epsilon, a, b, c;
    uint padding0;
};

MPSVK_SHARED_END

#endif
