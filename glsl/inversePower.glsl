// t^-beta, with multiplications and roots as far as they go: exact to a few units in the last place
// where exp2 and log2 of a large exponent are not.
#ifndef MPSVK_INVERSEPOWER_GLSL
#define MPSVK_INVERSEPOWER_GLSL

#include "CNNNormalization.h"

// `inverse` is 1 / t.
vec4 inversePower(vec4 t, vec4 inverse, uint whole, uint quarters, float rest) {
    vec4 power = vec4(1.0);
    if (quarters == betaOther) {
        power = exp2(-rest * log2(t));
    } else if (quarters != 0u) {
        vec4 root = inversesqrt(t);
        power = quarters == 2u ? root : quarters == 1u ? sqrt(root) : root * sqrt(root);
    }
    for (; whole > 0u; --whole) power *= inverse;
    return power;
}

#endif
