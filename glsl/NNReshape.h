// Parameters of reshape, its gradient, and slice.
#ifndef MPSVK_NNRESHAPE_H
#define MPSVK_NNRESHAPE_H

#include "types.h"

MPSVK_SHARED_BEGIN

struct NNReshapeParameters {
    ImageView source;
    ImageView destination;
    uint images;
    uint padding0, padding1, padding2;
};

struct NNSliceParameters {
    ImageView source;
    ImageView destination;
    int clipX, clipY;
    int offsetX, offsetY;
    uint clampEdges;
    uint padding0, padding1, padding2;
};

MPSVK_SHARED_END

#endif
