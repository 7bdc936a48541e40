// The taps of one axis that are worth visiting, where a stride spreads what is read apart.
#ifndef MPSVK_GLSL_TAPS_GLSL
#define MPSVK_GLSL_TAPS_GLSL

#include "geometry.h"

struct TapRange {
    uint first;
    uint step;
    uint count;
};

TapRange allTaps(uint count) {
    return TapRange(0u, 1u, count);
}

// The taps that read pixels t with t % stride == phase from windows at origin + stride * window.
TapRange tapsOfPhase(int origin, int stride, int dilation, int count, int phase) {
    int first = 0;
    while (first < count && floorModulo(phase - origin - dilation * first, stride) != 0) {
        ++first;
    }
    int step = 1;
    while (dilation * step % stride != 0) {
        ++step;
    }
    return TapRange(uint(first), uint(step), uint((count - first + step - 1) / step));
}

#endif
