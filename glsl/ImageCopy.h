// Parameters of copies between images and rows of a matrix.
#ifndef MPSVK_IMAGECOPY_H
#define MPSVK_IMAGECOPY_H

#include "types.h"

MPSVK_SHARED_BEGIN

struct ImageCopyParameters {
    ImageView image;
    MatrixView matrix; // as many columns as an image has elements
    uint firstRow;     // of these images
    uint images;
    uint pixels; // of an image
    uint padding0;
};

MPSVK_SHARED_END

#endif
