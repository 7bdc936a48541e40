// One dimension of Winograd's transformations: for four results, or with WINOGRAD_ROWS defined for those
// that read 8 source pixels. Polynomials are taken at 0, infinity, and pairs of points +-p. For four results
// of three taps, of sums over many channels these points double the rounding error of a plain sum, where the
// customary +-1 and +-2 make it four times as large.
//
// Positions are pairs: of 0 and infinity, then of the points +p and -p.
#ifndef MPSVK_WINOGRAD_GLSL
#define MPSVK_WINOGRAD_GLSL

#include "CNNConvolutionWinograd.h"

layout(constant_id = 38) const uint TAPS = 3u;
#ifdef WINOGRAD_ROWS
const uint results = 9u - TAPS; // winogradRowResults
#else
const uint results = 4u; // winogradResults
#endif
const uint span = TAPS + results - 1u;
const uint pairs = span / 2u;
// Arrays have room for five taps, or for the results of three.
const uint mostTaps = 5u, mostSpan = 8u, mostResults = 6u;

float winogradPoint(uint pair) {
    if (span == 6u) {
        return pair == 1u ? 0.625 : 1.5;
    }
    return pair == 1u ? 0.5 : pair == 2u ? 1.0 : 2.0;
}

float winogradSquare(uint pair) { return winogradPoint(pair) * winogradPoint(pair); }

// Of y^power in the product of all y - p^2, p being the points of other pairs than this one.
float winogradCoefficient(uint pair, uint power) {
    float made[4] = float[4](1.0, 0.0, 0.0, 0.0);
    [[unroll]] for (uint k = 1u; k < pairs; ++k) {
        if (k != pair) {
            [[unroll]] for (uint i = 3u; i > 0u; --i) {
                made[i] = made[i - 1u] - winogradSquare(k) * made[i];
            }
            made[0] *= -winogradSquare(k);
        }
    }
    return made[power];
}

// Of the source pixels of a tile, one behind the other.
vec4[2] winogradSource(vec4 x[mostSpan], uint pair) {
    vec4 even = vec4(0.0), odd = vec4(0.0);
    [[unroll]] for (uint i = 0u; i + 1u < pairs; ++i) {
        float coefficient = winogradCoefficient(pair, i);
        even += coefficient * (pair == 0u ? x[2u * i] : x[2u * i + 2u]);
        odd += coefficient * x[2u * i + 1u];
    }
    if (pair == 0u) {
        return vec4[2](even + x[span - 2u], odd + x[span - 1u]);
    }
    odd *= winogradPoint(pair);
    return vec4[2](even + odd, even - odd);
}

// Of what a pair of points takes of the weights.
float winogradScale(uint pair) {
    float product = 2.0 * winogradSquare(pair);
    [[unroll]] for (uint k = 1u; k < pairs; ++k) {
        product *= k == pair ? 1.0 : winogradSquare(pair) - winogradSquare(k);
    }
    return 1.0 / product;
}

// Of a row of taps.
vec2 winogradWeights(float w[mostTaps], uint pair) {
    if (pair == 0u) {
        return vec2(w[0] / winogradCoefficient(0u, 0u), w[TAPS - 1u]);
    }
    float even = 0.0, odd = 0.0;
    float power = winogradScale(pair);
    [[unroll]] for (uint tap = 0u; tap < TAPS; ++tap) {
        if (tap % 2u == 0u) {
            even += power * w[tap];
        } else {
            odd += power * w[tap];
        }
        power *= winogradPoint(pair);
    }
    return vec2(even + odd, even - odd);
}

// The results of the products.
vec4[mostResults] winogradResult(vec4 x[mostSpan]) {
    vec4 made[mostResults];
    [[unroll]] for (uint i = 0u; i < results; ++i) {
        made[i] = i == 0u ? x[0] : i + 1u == results ? x[1] : vec4(0.0);
    }
    [[unroll]] for (uint pair = 1u; pair < pairs; ++pair) {
        vec4 even = x[2u * pair] + x[2u * pair + 1u], odd = x[2u * pair] - x[2u * pair + 1u];
        float power = 1.0;
        [[unroll]] for (uint i = 0u; i < results; ++i) {
            made[i] += power * (i % 2u == 0u ? even : odd);
            power *= winogradPoint(pair);
        }
    }
    return made;
}

// The adjoint of winogradResult, and that of winogradWeights, for four channels.
vec4[2] winogradGradient(vec4 x[mostResults], uint pair) {
    if (pair == 0u) {
        return vec4[2](x[0], x[results - 1u]);
    }
    vec4 even = vec4(0.0), odd = vec4(0.0);
    float power = 1.0;
    [[unroll]] for (uint i = 0u; i < results; ++i) {
        if (i % 2u == 0u) {
            even += power * x[i];
        } else {
            odd += power * x[i];
        }
        power *= winogradPoint(pair);
    }
    return vec4[2](even + odd, even - odd);
}

vec4[mostTaps] winogradWeightsGradient(vec4 x[mostSpan]) {
    vec4 made[mostTaps];
    [[unroll]] for (uint tap = 0u; tap < TAPS; ++tap) {
        made[tap] = vec4(0.0);
    }
    [[unroll]] for (uint pair = 1u; pair < pairs; ++pair) {
        vec4 even = x[2u * pair] + x[2u * pair + 1u], odd = x[2u * pair] - x[2u * pair + 1u];
        float power = winogradScale(pair);
        [[unroll]] for (uint tap = 0u; tap < TAPS; ++tap) {
            made[tap] += power * (tap % 2u == 0u ? even : odd);
            power *= winogradPoint(pair);
        }
    }
    made[0] += x[0] / winogradCoefficient(0u, 0u);
    made[TAPS - 1u] += x[1];
    return made;
}

#endif
