// Parameters of products of matrices, and of a matrix and a vector.
#ifndef MPSVK_MATRIXMULTIPLICATION_H
#define MPSVK_MATRIXMULTIPLICATION_H

#include "types.h"

MPSVK_SHARED_BEGIN

struct MatrixMultiplicationParameters {
    MatrixView left, right, result; // as they are stored; of the result what is computed
    MatrixView bias;                // a row that is added to each of the result's
    uint interior;                  // columns of op(left), rows of op(right)
    float alpha, beta;
    uint matrices;
    uint tilesAcross, tilesDown; // of the result
    uint parts, partInterior;    // of the interior: each makes a result of its own
    float a, b, c;               // of the neuron
    uint padding0;
};

MPSVK_SHARED_END

#endif
