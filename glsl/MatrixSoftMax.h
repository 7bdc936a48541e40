// Parameters of the softmax over the rows of matrices and of its gradient.
#ifndef MPSVK_MATRIXSOFTMAX_H
#define MPSVK_MATRIXSOFTMAX_H

#include "types.h"

MPSVK_SHARED_BEGIN

struct MatrixSoftMaxParameters {
    MatrixView source, result;
    uint matrices;
    uint blocks; // of a row, see matrixRow.glsl
    uint padding0, padding1;
};

struct MatrixSoftMaxGradientParameters {
    MatrixView gradient, forward, result; // forward: its result
    uint matrices;
    uint blocks;
    uint padding0, padding1;
};

MPSVK_SHARED_END

#endif
