// Parameters of instance and group normalization and their gradients. An instance normalization is
// a group normalization with a group for each channel.
#ifndef MPSVK_CNNGROUPNORMALIZATION_H
#define MPSVK_CNNGROUPNORMALIZATION_H

#include "types.h"

MPSVK_SHARED_BEGIN

// What a workgroup of the sums does.
const uint sumsPart = 0u;   // adds up a part of an image's pixels
const uint sumsMerge = 1u;  // adds up the parts
const uint sumsWhole = 2u;  // adds up an image's pixels and finishes its groups
const uint sumsResult = 3u; // the same, and computes the result

// Workgroups that share a block's pixels (glsl/wholeGroup.glsl): what they add to their counter together,
// and the sums that each writes for a slice.
const uint arrivals = 1024u;
const uint sumsOfMember = 2u;

// A workgroup has blockLanes slices next to each other, of which blockSlices are in use.
struct CNNGroupNormalizationParameters {
    ImageView source;
    ImageView destination;
    int clipX, clipY;
    uint clipWidth, clipHeight;
    int offsetX, offsetY;
    uint clampEdges;
    uint images;
    uint groupChannels;
    uint blockSlices, blockLanes, blocks;
    uint parts, partPixels;
    uint statisticsStride; // texels from one image's statistics to the next
    float epsilon;
    uint zero; // which a compiler does not know
};

struct CNNGroupNormalizationGradientParameters {
    ImageView gradient;
    ImageView source; // of the forward pass
    ImageView destination;
    int clipX, clipY;
    uint clipWidth, clipHeight;
    int gradientOffsetX, gradientOffsetY, sourceOffsetX, sourceOffsetY;
    int regionX, regionY; // the gradient's pixels that belong to the forward result
    uint regionWidth, regionHeight;
    uint clampEdges;
    uint images;
    uint groupChannels;
    uint blockSlices, blockLanes, blocks;
    uint parts, partPixels;
    uint statisticsStride, gammaStride, betaStride; // in texels
    float groupElements;                            // that a group's statistics are over
    uint zero;                                      // which a compiler does not know
};

struct CNNGroupNormalizationTotalParameters {
    uint slices;
    uint images;
    uint accumulate; // adds to what is there
    uint padding0;
};

MPSVK_SHARED_END

#endif
