// Parameters of the gradient of a gather.
#ifndef MPSVK_NDARRAYGATHERGRADIENT_H
#define MPSVK_NDARRAYGATHERGRADIENT_H

#include "NDArrayCopy.h"

MPSVK_SHARED_BEGIN

// Of the dimensions the gathered one is left out: a slice is an element of it with all of the
// others. Strides count elements; `source` is the gradient's, `destination` the result's.
struct NDArrayGatherGradientParameters {
    NDDimension dimensions[16];
    uint dimensionCount;
    uint slices;      // of the result
    uint units;       // of a slice: invocations, each for `width` elements of a row
    uint count;       // of the indices
    uint chunks;      // whole ones of the sorted list
    uint gradientOffset, destinationOffset;
    int gradientStride, destinationStride; // of the gathered dimension
    uint isAligned;                        // four elements of a row lie at a multiple of their size
    uint slicesRunFastest;
    uint padding0;
};

// Elements of the sorted list that a partial sum takes.
MPSVK_FUNCTION uint gatherChunk() { return 128u; }

MPSVK_SHARED_END

#endif
