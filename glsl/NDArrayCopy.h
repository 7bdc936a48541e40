// Parameters of kernels that move the elements of arrays.
#ifndef MPSVK_NDARRAYCOPY_H
#define MPSVK_NDARRAYCOPY_H

#include "types.h"

MPSVK_SHARED_BEGIN

// Strides count words where whole rows are moved, else elements.
struct MPSVK_ALIGNED NDDimension {
    uint size;        // of the destination
    int source;       // stride; of a source's coordinate where that is not the destination's
    int destination;  // stride
    uint step;        // only destination coordinates that are its multiples have a source
};

struct NDArrayCopyParameters {
    NDDimension dimensions[16];
    uint dimensionCount;
    uint sourceOffset, destinationOffset; // as the strides
    uint total;                           // invocations
    uint rowBytes;                        // where whole rows are moved
    uint gathered;                        // the dimension whose coordinates are looked up
    uint gatherLength;                    // of it in the source
    uint indexOffset;                     // in indices
    int indexStride;
    uint tilesAcross, tilesDown; // where rows of the source run across those of the destination
    uint padding0;
};

MPSVK_SHARED_END

#endif
