// Parameters of the kernels that work on images as such.
#ifndef MPSVK_IMAGE_H
#define MPSVK_IMAGE_H

#include "types.h"

MPSVK_SHARED_BEGIN

struct ImageFillParameters {
    ImageView destination;
    uint count; // texels
    uint padding0, padding1, padding2;
};

MPSVK_SHARED_END

#endif
