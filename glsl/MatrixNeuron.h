// Parameters of MatrixNeuron and MatrixNeuronGradient.
#ifndef MPSVK_MATRIXNEURON_H
#define MPSVK_MATRIXNEURON_H

#include "types.h"

MPSVK_SHARED_BEGIN

struct MatrixNeuronParameters {
    MatrixView source, bias;
    MatrixView gradient; // unused by the forward pass
    MatrixView result;
    MatrixView sums; // of parts of the rows; unused without a gradient of the bias
    uint matrices;
    uint channels; // columns of a row; matrices without gaps are bound as one row
    float alpha, a, b, c;
    uint lanes, splitRows; // see MatrixColumnSums.comp
};

MPSVK_SHARED_END

#endif
