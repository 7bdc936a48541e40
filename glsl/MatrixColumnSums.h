// Parameters of sums over the rows of matrices.
#ifndef MPSVK_MATRIXCOLUMNSUMS_H
#define MPSVK_MATRIXCOLUMNSUMS_H

#include "types.h"

MPSVK_SHARED_BEGIN

struct MatrixColumnSumsParameters {
    MatrixView source;
    MatrixView sums; // a row for each part of the source's rows
    uint lanes;      // invocations side by side
    uint splitRows;  // rows of a part
    uint padding0, padding1;
};

MPSVK_SHARED_END

#endif
