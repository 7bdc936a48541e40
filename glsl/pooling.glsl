// Pooling windows along one axis.
#ifndef MPSVK_POOLING_GLSL
#define MPSVK_POOLING_GLSL

#include "CNNPooling.h"
#include "compare.glsl"
#include "geometry.h"
#include "pixel.glsl"

// The pixels that a window reads: low, low + dilation, ... `count` of them. A window whose outer
// taps repeat an edge pixel (poolingEdgesClamp) has that pixel once.
struct Span {
    int low, count;
};

Span spanOf(int begin, int taps, int dilation, int size, uint edges) {
    if (edges == poolingEdgesClamp) {
        int low = clampIndex(begin, size);
        return Span(low, clampIndex(begin + taps - 1, size) - low + 1);
    }
    int first = firstTap(0, begin, dilation);
    int last = lastTap(size - 1, begin, dilation, taps);
    return Span(begin + first * dilation, max(0, last - first + 1));
}

// The windows that read a pixel lie in first ... last; with a dilation not each of these does.
struct Windows {
    int first, last;
};

Windows windowsOf(int pixel, int size, int start, int taps, int dilation, int stride, int first,
                  int windows, uint edges) {
    int extent = dilatedExtent(taps, dilation);
    int clampEdges = edges == poolingEdgesClamp ? 1 : 0;
    int reach = windowReach(start, stride, extent, windows);
    return Windows(
        max(first, firstWindow(lowPosition(pixel, start, clampEdges), start, stride, extent)),
        lastWindow(highPosition(pixel, size, reach, clampEdges), start, stride, windows));
}

// How many taps of the window at `begin` read the pixel; the dilation is 1.
int tapsOn(int pixel, int size, int begin, int taps, uint edges) {
    int clampEdges = edges == poolingEdgesClamp ? 1 : 0;
    int first = firstTap(lowPosition(pixel, begin, clampEdges), begin, 1);
    int last = lastTap(highPosition(pixel, size, begin + taps - 1, clampEdges), begin, 1, taps);
    return max(0, last - first + 1);
}

// The pixels along one axis that the divisor of an average counts.
int countedTaps(int begin, int taps, int size, int pad, uint edges) {
    return edges == poolingEdgesZero ? taps : averageCount(begin, taps, size, pad);
}

#endif
