// Parameters of MatrixCopy.
#ifndef MPSVK_MATRIXCOPY_H
#define MPSVK_MATRIXCOPY_H

#include "types.h"

MPSVK_SHARED_BEGIN

struct MatrixCopyParameters {
    MatrixView source, destination; // as they are stored
    uint rows, columns;             // as they are read
    uint matrices;
    uint sourceRow, sourceColumn, destinationRow, destinationColumn;
    uint offsetIndex; // of the same four in memory, in words
    uint rowIndex, columnIndex; // of the first index in use
    uint padding0, padding1;
};

MPSVK_SHARED_END

#endif
