// Parameters of the reductions.
#ifndef MPSVK_NNREDUCE_H
#define MPSVK_NNREDUCE_H

#include "types.h"

MPSVK_SHARED_BEGIN

const uint reduceGroupSize = 256u; // invocations of a workgroup

const uint reduceMinimum = 0u;
const uint reduceMaximum = 1u;
const uint reduceSum = 2u;
const uint reduceArgumentMinimum = 3u;
const uint reduceArgumentMaximum = 4u;

// Over pixels. A lane is a texel of the result within its line; the lines of all images follow each
// other. Position k of a lane is the pixel (k % reducedWidth, k / reducedWidth) from the lane's own
// on. A workgroup has `lanes` lanes, of each `parts` parts that take every parts-th position, and as
// many lines as that leaves room for; lanes and parts are powers of two.
struct NNReduceSpatialParameters {
    ImageView source;
    ImageView destination;
    int sourceX, sourceY;
    int clipX, clipY;
    uint laneCount, lineCount; // of one image
    uint images;
    uint count; // positions
    uint reducedWidth;
    uint stepX, stepY; // from a position to the part's next one
    uint lanes, parts;
    uint chunk, chunks; // positions per partial result, and how many of these there are
    float divisor;
};

// Over the feature channels of a pixel, by `parts` invocations that take every parts-th texel.
struct NNReduceFeatureChannelsParameters {
    ImageView source;
    ImageView destination;
    int sourceX, sourceY;
    int clipX, clipY;
    uint clipWidth, clipHeight;
    uint images;
    uint parts; // a power of two
    float factor, divisor;
    uint padding0, padding1;
};

// Of pixel q of the clip rectangle: primary + q * primaryStride, and so on.
struct NNReduceBinaryParameters {
    ImageView primary;
    ImageView secondary;
    ImageView destination;
    int clipX, clipY;
    uint clipWidth, clipHeight;
    int primaryX, primaryY, primaryStrideX, primaryStrideY;
    int secondaryX, secondaryY, secondaryStrideX, secondaryStrideY;
    uint images;
    uint parts;
    float divisor;
    int windowX, windowY, strideX, strideY; // of a local correlation
    uint clampEdges;
    uint padding0, padding1, padding2, padding3;
};

struct NNReduceSpatialMeanGradientParameters {
    ImageView gradient;
    ImageView destination;
    int clipX, clipY;
    int gradientX, gradientY;
    int sourceX, sourceY;      // of the forward source: the clip rectangle's first pixel
    int meanX, meanY;          // the pixels of the forward source that the mean was of
    int meanWidth, meanHeight;
    float count; // of these pixels
    uint padding0;
};

MPSVK_SHARED_END

#endif
