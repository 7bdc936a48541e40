// Parameters of the Gram matrix kernels, and how their results are cut into tiles.
#ifndef MPSVK_NNGRAMMATRIXCALCULATION_H
#define MPSVK_NNGRAMMATRIXCALCULATION_H

#include "types.h"

MPSVK_SHARED_BEGIN

const uint gramTile = 64u;  // rows and columns that a workgroup computes
const uint gramBlock = 32u; // rows and columns that a workgroup adds up or transposes

// A Gram matrix is symmetric: of its tiles those on and above the diagonal are computed, row by
// row. Partial sums lie [image][split][tile][row][column].
struct NNGramMatrixParameters {
    ImageView source;
    ImageView destination;
    uint tiles;     // along a side
    uint tilePairs; // on and above the diagonal
    uint splits;
    uint splitPixels;
    uint pixels; // of an image
    uint images;
    float alpha;
    uint padding0;
};

// Of the gradient: first alpha * (G + its transpose), whose rows are of whole texels, as many as
// lanes; then its product with the source.
struct NNGramMatrixGradientParameters {
    ImageView gradient;
    ImageView source;
    ImageView destination;
    uint slices; // of the source's channels
    uint tiles;  // of channels
    uint pixelTiles;
    uint pixels;
    uint images;
    float alpha;
    uint padding0, padding1;
};

MPSVK_SHARED_END

#endif
