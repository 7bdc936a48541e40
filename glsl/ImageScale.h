// Parameters of resampling with weights by row and column.
#ifndef MPSVK_IMAGESCALE_H
#define MPSVK_IMAGESCALE_H

#include "types.h"

MPSVK_SHARED_BEGIN

struct ImageScaleParameters {
    ImageView source;
    ImageView destination;
    int clipX, clipY;
    uint clipWidth, clipHeight;
    uint tapsX, tapsY; // weights of a column, of a row
    uint weightsY;     // where those of the rows begin
    uint images;
};

MPSVK_SHARED_END

#endif
