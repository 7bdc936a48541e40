// Parameters of the stable sort of a list of indices.
#ifndef MPSVK_INDEXSORT_H
#define MPSVK_INDEXSORT_H

#include "types.h"

MPSVK_SHARED_BEGIN

struct IndexSortParameters {
    uint count;    // of the list
    uint keyCount; // keys lie below; what does not has this key
    uint shift;    // of the eight bits that this pass sorts by
    uint blocks;   // of sortBlock elements
    uint indexOffset;
    int indexStride;
    uint padding0, padding1;
};

// Elements whose digits one workgroup counts and places.
MPSVK_FUNCTION uint sortBlock() { return 1024u; }

MPSVK_SHARED_END

#endif
