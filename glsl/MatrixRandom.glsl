// What random number generators do with their words: each has to be called with four at a time.
#ifndef MPSVK_MATRIXRANDOM_GLSL
#define MPSVK_MATRIXRANDOM_GLSL

#include "MatrixRandom.h"

layout(set = 0, binding = 0) uniform Parameters { MatrixRandomParameters p; };
layout(set = 0, binding = 1, std430) writeonly buffer Words { uint words[]; };
layout(set = 0, binding = 1, std430) writeonly buffer Words4 { uvec4 words4[]; };
layout(constant_id = 32) const uint distribution = randomBits;

// In (0, 1]: the logarithm is finite.
vec4 positiveFraction(uvec4 w) { return (vec4(w) + 0.5) * (1.0 / 4294967296.0); }

// A point on the unit circle at the angle 2 pi (k + 1/2) / 2^24 - pi / 4 with k = w / 2^8. The
// built-in functions may be off by 2^-11.
vec2 circlePoint(uint w) {
    uint k = w >> 8;
    float a = (float(k & 0x3fffffu) + 0.5) * (1.57079633 / 4194304.0) - 0.785398163, s = a * a;
    float sine = a * (1.0 + s * (-1.0 / 6.0 + s * (1.0 / 120.0 + s * (-1.0 / 5040.0 +
                 s * (1.0 / 362880.0)))));
    float cosine = 1.0 + s * (-0.5 + s * (1.0 / 24.0 + s * (-1.0 / 720.0 + s * (1.0 / 40320.0))));
    vec2 point = (k & 0x400000u) == 0u ? vec2(cosine, sine) : vec2(-sine, cosine);
    return (k & 0x800000u) == 0u ? point : -point;
}

vec4 normal(uvec4 w) {
    vec2 radius = sqrt(-2.0 * log(positiveFraction(w).xz));
    return vec4(radius.x * circlePoint(w.y), radius.y * circlePoint(w.w));
}

// The quantile of the standard normal distribution at e^(-t^2 / 2), at most 1/2, is -t + (ln t + h)
// / t; h is a polynomial in 1 / t that was fitted for 1.177 <= t <= 39. Absolute error below 1e-6.
vec4 lowerQuantile(vec4 t) {
    vec4 u = 1.0 / t, x = 3.54856873 * u - 2.01387668, y = 7.69014072 * u - 1.19718313;
    vec4 central = 1.12798131 + x * (0.0996555910 + x * (-0.00497696269 + x * (0.000362966792 +
                   x * (-3.66865752e-05 + x * (-3.74959491e-05 + x * 2.86299419e-05)))));
    vec4 tail = 0.971198618 + y * (0.0520937741 + y * (0.000652704737 + y * (-0.00131262653 +
                y * (0.000832251739 + y * (-0.00101215579 + y * 0.000566451054)))));
    return (log(t) + mix(central, tail, greaterThan(t, vec4(3.5)))) * u - t;
}

vec4 truncated(uvec4 w) {
    vec4 lower = p.low + p.extent * positiveFraction(w);
    vec4 upper = p.high + p.extent * positiveFraction(~w);
    bvec4 above = greaterThan(lower, vec4(p.middle));
    vec4 t = sqrt(-2.0 * (p.logUnit + log(mix(lower, upper, above))));
    vec4 quantile = lowerQuantile(max(t, 1.17741002));
    return p.sign * mix(quantile, -quantile, above);
}

uvec4 distributed(uvec4 w) {
    if (distribution == randomWhole) {
        uvec4 high, low;
        umulExtended(w, uvec4(p.numbers), high, low);
        return p.numbers == 0u ? w : p.least + high;
    }
    if (distribution == randomUniform) {
        vec4 value = p.minimum + p.range * (vec4(w >> 8) * (1.0 / 16777216.0));
        return floatBitsToUint(min(value, p.maximum));
    }
    if (distribution == randomNormal)
        return floatBitsToUint(p.mean + p.standardDeviation * normal(w));
    if (distribution == randomTruncated)
        return floatBitsToUint(clamp(p.mean + p.standardDeviation * truncated(w), p.minimum,
                                     p.maximum));
    return w;
}

// `first` is a multiple of four.
void storeRandom(uint first, uvec4 random) {
    random = distributed(random);
    MatrixView v = p.destination;
    uint column = first % v.columns, row = first / v.columns % v.rows;
    uint matrix = first / v.columns / v.rows;
    uint at = v.offset + matrix * v.matrixStride + row * v.rowStride + column;
    if (v.isAligned != 0u && (column & 3u) == 0u && column + 4u <= v.columns) {
        words4[at >> 2] = random;
        return;
    }
    for (uint lane = 0u; lane < 4u && matrix < p.matrices; ++lane) {
        words[at] = random[lane];
        ++at;
        if (++column < v.columns) continue;
        column = 0u;
        if (++row == v.rows) {
            row = 0u;
            ++matrix;
        }
        at = v.offset + matrix * v.matrixStride + row * v.rowStride;
    }
}

#endif
