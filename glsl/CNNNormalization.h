// Parameters of the normalizations over a neighbourhood, in the plane or across channels, and their
// gradients.
#ifndef MPSVK_CNNNORMALIZATION_H
#define MPSVK_CNNNORMALIZATION_H

#include "types.h"

MPSVK_SHARED_BEGIN

// betaQuarters: the fraction of beta in quarters, or that it is none of these.
const uint betaOther = 4u;

// Of the forward pass and of the gradient alike. "Result" x, y is the forward result that is centred
// on source pixel startX + x, startY + y.
struct CNNNormalizationParameters {
    ImageView source;
    ImageView gradient; // unused by the forward pass
    ImageView destination;
    int clipX, clipY;
    uint clipWidth, clipHeight;
    int originX, originY; // the source pixel of the clip rectangle's first pixel
    int startX, startY;
    int gradientX, gradientY; // the gradient's pixel of result 0, 0
    uint resultsX, resultsY;
    int kernelWidth, kernelHeight;
    int firstRow; // of the source rows that the pass over rows sums
    uint rows;
    uint clampEdges;
    uint images;
    uint rowPlane, termPlane; // texels of a plane of the scratch buffers
    float alpha, delta;
    uint betaWhole, betaQuarters; // beta = betaWhole + betaQuarters / 4 or betaWhole + betaRest
    float betaRest;
    float p0, pm, ps;
    float share; // p0 / N
    float slope; // 2 * alpha * beta / N
    // Of workgroups that walk down the rows (glsl/windowStream.glsl): those of a pixel's slices, of the
    // columns and of the rows.
    uint blocks, strips, segments;
    uint stripColumns, segmentRows; // for which there are results
    int lowestColumn, lowestRow;    // before these there are only zeros and no results
    int endRow;                     // nor from here on
    uint padding0, padding1;
};

struct CNNCrossChannelNormalizationParameters {
    ImageView source;
    ImageView gradient;
    ImageView destination;
    int clipX, clipY;
    uint clipWidth, clipHeight;
    int originX, originY;
    int startX, startY;
    int gradientX, gradientY;
    uint resultsX, resultsY;
    uint halo; // invocations at either end of a workgroup that only help their neighbours
    uint clampEdges;
    uint images;
    float alpha; // over N
    float delta;
    float betaRest;
    float slope;
    uint padding0;
};

MPSVK_SHARED_END

#endif
