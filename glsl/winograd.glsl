// One dimension of Winograd's transformations for four results and three taps. Polynomials are taken at
// 0, +-5/8, +-3/2 and infinity: of sums over many channels these points double the rounding error of a
// plain sum, where the customary +-1 and +-2 make it four times as large.
#ifndef MPSVK_WINOGRAD_GLSL
#define MPSVK_WINOGRAD_GLSL

#include "CNNConvolutionWinograd.h"

const float winogradA = 0.625, winogradB = 1.5;
const float winogradAA = winogradA * winogradA, winogradBB = winogradB * winogradB;

// Of the source pixels x[first], x[first + step], ... in place.
#define WINOGRAD_SOURCE(x, first, step)                                                            \
    {                                                                                              \
        vec4 x0 = x[first], x1 = x[(first) + (step)], x2 = x[(first) + 2u * (step)];               \
        vec4 x3 = x[(first) + 3u * (step)], x4 = x[(first) + 4u * (step)];                         \
        vec4 x5 = x[(first) + 5u * (step)];                                                        \
        vec4 evenA = x4 - winogradBB * x2, oddA = winogradA * (x3 - winogradBB * x1);              \
        vec4 evenB = x4 - winogradAA * x2, oddB = winogradB * (x3 - winogradAA * x1);              \
        x[first] = x4 + winogradAA * winogradBB * x0 - (winogradAA + winogradBB) * x2;             \
        x[(first) + (step)] = evenA + oddA;                                                        \
        x[(first) + 2u * (step)] = evenA - oddA;                                                   \
        x[(first) + 3u * (step)] = evenB + oddB;                                                   \
        x[(first) + 4u * (step)] = evenB - oddB;                                                   \
        x[(first) + 5u * (step)] =                                                                 \
            x5 + winogradAA * winogradBB * x1 - (winogradAA + winogradBB) * x3;                    \
    }

const float winogradScaleA = 0.5 / (winogradAA * (winogradAA - winogradBB));
const float winogradScaleB = 0.5 / (winogradBB * (winogradBB - winogradAA));

// Of three taps.
vec4[6] winogradWeights(vec4 w0, vec4 w1, vec4 w2) {
    vec4 evenA = winogradScaleA * w0 + winogradScaleA * winogradAA * w2;
    vec4 oddA = winogradScaleA * winogradA * w1;
    vec4 evenB = winogradScaleB * w0 + winogradScaleB * winogradBB * w2;
    vec4 oddB = winogradScaleB * winogradB * w1;
    return vec4[6](w0 / (winogradAA * winogradBB), evenA + oddA, evenA - oddA, evenB + oddB,
                   evenB - oddB, w2);
}

// Four results of the products at six positions.
vec4[4] winogradResult(vec4 x0, vec4 x1, vec4 x2, vec4 x3, vec4 x4, vec4 x5) {
    vec4 evenA = x1 + x2, oddA = winogradA * (x1 - x2);
    vec4 evenB = x3 + x4, oddB = winogradB * (x3 - x4);
    return vec4[4](x0 + evenA + evenB, oddA + oddB, winogradAA * evenA + winogradBB * evenB,
                   winogradAA * oddA + winogradBB * oddB + x5);
}

// The adjoint of winogradResult, and that of winogradWeights.
vec4[6] winogradGradient(vec4 x0, vec4 x1, vec4 x2, vec4 x3) {
    vec4 evenA = x0 + winogradAA * x2, oddA = winogradA * (x1 + winogradAA * x3);
    vec4 evenB = x0 + winogradBB * x2, oddB = winogradB * (x1 + winogradBB * x3);
    return vec4[6](x0, evenA + oddA, evenA - oddA, evenB + oddB, evenB - oddB, x3);
}

vec4[3] winogradWeightsGradient(vec4 x0, vec4 x1, vec4 x2, vec4 x3, vec4 x4, vec4 x5) {
    vec4 evenA = winogradScaleA * (x1 + x2), oddA = winogradScaleA * winogradA * (x1 - x2);
    vec4 evenB = winogradScaleB * (x3 + x4), oddB = winogradScaleB * winogradB * (x3 - x4);
    return vec4[3](x0 / (winogradAA * winogradBB) + evenA + evenB, oddA + oddB,
                   winogradAA * evenA + winogradBB * evenB + x5);
}

#endif
