// Parameters of the recurrent layers: one time step, copies of rows, and sums over rows.
//
// What a layer keeps for itself is fp32, its numbers of channels rounded up to four: gates as
// [row][gate][channel], everything else as [row][channel]. What is added to the channels is 0.
#ifndef MPSVK_RNN_H
#define MPSVK_RNN_H

#include "types.h"

MPSVK_SHARED_BEGIN

struct RNNStepParameters {
    MatrixView outer;       // forward: the destination; gradient: the gradient of the result
    MatrixView inputs;         // where input weights are identities: the source
    MatrixView inputGradients; // and its gradient
    MatrixView bias;           // of the gates that have one, side by side
    MatrixView peephole;       // diagonals, a row each
    uint rows, channels, quads, gateCount;
    // Where each array begins in its binding, in vectors of four.
    uint gates, previous, previousCell, cell, result, mixed;
    uint gateGradients, carried, carriedCell, mixedGradients, peepholeSums;
    uint previousRows;         // from there on the state before the step is 0
    uint biasedGates, peepholes; // masks
    uint mixes;                // of a GRU: 1 for Uh, 2 for Vh
    uint addsUnitInput, addsToOuter, sumsPeepholes, writesInputGradients;
    float a0, b0, c0, a1, b1, c1, a2, b2, c2, a3, b3, c3, a4, b4, c4; // of the neurons
    float pNorm;
    uint flip;
};

struct RNNRowsParameters {
    MatrixView source, destination;
    uint rows, columns, matrices;
    uint rowsPerSum; // rows of the source that are added up for one of the destination
    float beta;
    uint padding0, padding1, padding2;
};

MPSVK_SHARED_END

#endif
