// Convolutions of 3x3 or 5x5 taps by Winograd's minimal filtering: the products of a tile of 4x4 results
// with its 6x6 or 8x8 source pixels become one product for each of 36 or 64 positions, at which sources
// and weights are taken once. Lavin and Gray, Fast algorithms for convolutional neural networks (2016).
//
// Matrices are stored position after position: of sources [tile][channel], of weights [channel][result
// channel], of results [tile][result channel]. Tiles are counted over the rows of a part of the images;
// some more, all zeros, make whole steps of products.
//
// The gradient of weights multiplies the sources' matrices with those of the incoming gradient,
// [tile][result channel], to [result channel][channel] for each position.
//
// Filtering of rows alone goes without matrices in memory: a tile is a segment of a row of results that
// reads 8 source pixels, and sums run over the rows of taps and the channels. Its weights are
// [row of taps][channel][position][result channel].
#ifndef MPSVK_GLSL_CNNCONVOLUTIONWINOGRAD_H
#define MPSVK_GLSL_CNNCONVOLUTIONWINOGRAD_H

#include "types.h"

MPSVK_SHARED_BEGIN

struct CNNConvolutionWinogradParameters {
    ImageView source;
    ImageView destination;
    uint clipX; // region of the destination that is written
    uint clipY;
    uint clipWidth;
    uint clipHeight;
    int originX; // where the source's pixels of the first tile begin
    int originY;
    uint tiles;          // rows of the matrices
    uint rowTexels;      // of a row of them
    uint positionTexels; // from one matrix to the next
    uint slopes;         // texel of the first slopes of PReLU
    uint hasBias;
    float neuronA;
    float neuronB;
    float neuronC;
};

struct CNNConvolutionWinogradGradientParameters {
    uint resultChannels;
    uint channels;
    uint rowTexels;
    uint positionTexels;
    uint accumulate; // 1: add to what the gradient holds
    uint transposed; // 1: of a transposed convolution, whose taps are turned around
};

// Results of a tile in each direction, and the source pixels that so many taps read for them.
const uint winogradResults = 4u;
MPSVK_FUNCTION uint winogradSpan(uint taps) { return winogradResults + taps - 1u; }
MPSVK_FUNCTION uint winogradPositions(uint taps) {
    return winogradSpan(taps) * winogradSpan(taps);
}

// Of a row alone: the source pixels of a segment, and its results.
const uint winogradRowSpan = 8u;
MPSVK_FUNCTION uint winogradRowResults(uint taps) { return winogradRowSpan + 1u - taps; }
// Segments of a workgroup, and for the gradient of weights the channels of a tile in each direction.
const uint winogradRowSegments = 32u, winogradRowSide = 64u;
// Channels of a step, and how many there are for each row of taps.
const uint winogradRowStep = 8u;
MPSVK_FUNCTION uint winogradRowChannels(uint channels) {
    return (channels + winogradRowStep - 1u) / winogradRowStep * winogradRowStep;
}
// Texels of the results of a tap, in whole tiles of 8 or 16.
MPSVK_FUNCTION uint winogradRowTexels(uint texels) {
    return texels <= 8u ? 8u : (texels + 15u) / 16u * 16u;
}

// Invocations that share the sources of a tile: an invocation holds 36 positions, but not 64.
MPSVK_FUNCTION uint winogradShares(uint taps) { return taps == 3u ? 1u : winogradSpan(taps) / 2u; }

// Rows of the weights' matrices: products go over the interior in whole steps of so many.
MPSVK_FUNCTION uint winogradRows(uint channels) { return (channels + 15u) / 16u * 16u; }

MPSVK_SHARED_END

#endif
