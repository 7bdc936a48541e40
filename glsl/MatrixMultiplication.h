// Parameters of products of matrices, and of a matrix and a vector.
#ifndef MPSVK_MATRIXMULTIPLICATION_H
#define MPSVK_MATRIXMULTIPLICATION_H

#include "types.h"

MPSVK_SHARED_BEGIN

struct MatrixMultiplicationParameters {
    MatrixView left, right, result; // as they are stored; of the result what is computed
    uint interior;                  // columns of op(left), rows of op(right)
    float alpha, beta;
    uint matrices;
    uint tilesAcross, tilesDown; // of the result
    uint padding0, padding1;
};

MPSVK_SHARED_END

#endif
