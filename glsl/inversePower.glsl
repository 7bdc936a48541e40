// t^-beta, with multiplications and roots as far as they go: exact to a few units in the last place
// where exp2 and log2 of a large exponent are not.
#ifndef MPSVK_INVERSEPOWER_GLSL
#define MPSVK_INVERSEPOWER_GLSL

#include "CNNNormalization.h"

// `inverse` becomes 1 / t, of the root where there is one.
vec4 inversePower(vec4 t, uint whole, uint quarters, float rest, out vec4 inverse) {
    vec4 power = vec4(1.0);
    if (quarters == 0u || quarters == betaOther) {
        inverse = 1.0 / t;
        if (quarters == betaOther) power = exp2(-rest * log2(t));
    } else {
        vec4 root = inversesqrt(t);
        inverse = root * root;
        power = quarters == 2u ? root : quarters == 1u ? sqrt(root) : root * sqrt(root);
    }
    for (; whole > 0u; --whole) power *= inverse;
    return power;
}

#endif
