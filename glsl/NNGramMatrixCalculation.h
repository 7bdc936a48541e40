// Parameters of the Gram matrix's gradient.
#ifndef MPSVK_NNGRAMMATRIXCALCULATION_H
#define MPSVK_NNGRAMMATRIXCALCULATION_H

#include "types.h"

MPSVK_SHARED_BEGIN

struct NNGramMatrixMeanParameters {
    ImageView gradient; // of the channels that the source has
    MatrixView mean;    // as many rows, and columns that are whole texels
    uint images;
    uint padding0, padding1, padding2;
};

MPSVK_SHARED_END

#endif
