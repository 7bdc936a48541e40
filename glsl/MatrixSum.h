// Parameters of MatrixSum.
#ifndef MPSVK_MATRIXSUM_H
#define MPSVK_MATRIXSUM_H

#include "types.h"

MPSVK_SHARED_BEGIN

const uint matrixSumSources = 8u; // of a dispatch

struct MatrixSumParameters {
    MatrixView sources[matrixSumSources];
    MatrixView result, bias;
    MatrixView sums;    // of the sources of earlier dispatches
    uint rows, columns; // of the sum, not transposed
    uint matrices;
    uint count;       // of sources of this dispatch
    uint scaleIndex;  // of the first of them
    uint offsetIndex; // the same, in words
    float a, b, c;
    uint padding0, padding1, padding2;
};

MPSVK_SHARED_END

#endif
