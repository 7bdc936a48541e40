// Parameters of MatrixFindTopK.
#ifndef MPSVK_MATRIXFINDTOPK_H
#define MPSVK_MATRIXFINDTOPK_H

#include "types.h"

MPSVK_SHARED_BEGIN

struct MatrixFindTopKParameters {
    MatrixView source, values, indices;
    uint matrices;
    uint number; // of values of a row
    uint indexOffset;
    uint padding0;
};

MPSVK_SHARED_END

#endif
