// The forward results that belong to a source pixel, along one axis: result x has its window from
// source position start + x on.
#ifndef MPSVK_FORWARDRESULTS_GLSL
#define MPSVK_FORWARDRESULTS_GLSL

#include "geometry.h"

// Results first ... last have taps on the positions low ... high, which the edge mode maps to one
// pixel.
struct Readers {
    int first, last;
    int low, high;
};

Readers readersOf(int pixel, int size, int start, int taps, int results, uint clampEdges) {
    int edges = int(clampEdges);
    Readers r;
    r.low = lowPosition(pixel, start, edges);
    r.high = highPosition(pixel, size, windowReach(start, 1, taps, results), edges);
    r.first = firstWindow(r.low, start, 1, taps);
    r.last = lastWindow(r.high, start, 1, results);
    return r;
}

// How many taps of the window that begins at `begin` read the pixel.
int tapsOn(Readers r, int begin, int taps) {
    return min(r.high, begin + taps - 1) - max(r.low, begin) + 1;
}

#endif
