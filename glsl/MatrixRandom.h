// Parameters of the random number generators.
#ifndef MPSVK_MATRIXRANDOM_H
#define MPSVK_MATRIXRANDOM_H

#include "types.h"

MPSVK_SHARED_BEGIN

// What becomes of a generator's words.
const uint randomBits = 0u;      // nothing
const uint randomWhole = 1u;     // whole numbers
const uint randomUniform = 2u;
const uint randomNormal = 3u;
const uint randomTruncated = 4u; // normal, within bounds

const uint mtgpWords = 351u;      // of a generator's state
const uint mtgpGenerators = 256u;
const uint mtgpBlock = 1024u;     // words that a generator makes before it is the next one's turn

struct MatrixRandomParameters {
    MatrixView destination; // of 32-bit elements
    uint matrices;
    uint blocks;            // of MTGP32
    uint keyLow, keyHigh;   // of Philox
    uint counter0, counter1, counter2, counter3;
    uint least, numbers; // of the whole numbers; numbers 0: all 2^32 of them
    float minimum, maximum, range;
    float mean, standardDeviation;
    // Truncated: the lower tail's probability runs from low to low + extent, the upper one's from
    // high + extent to high, in units of e^logUnit. Above `middle` the upper tail is smaller.
    float logUnit, low, high, extent, middle;
    float sign; // -1: mirrored, so that the lower tail is the smaller one
    uint padding0, padding1, padding2;
};

MPSVK_SHARED_END

#endif
