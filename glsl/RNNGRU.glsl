// What the shaders of a GRU share. Gates: 0 input (z), 1 recurrent (r), 2 output (h).
#ifndef MPSVK_RNNGRU_GLSL
#define MPSVK_RNNGRU_GLSL

layout(set = 0, binding = 10, std430) readonly buffer Previous { vec4 previous[]; };

NEURON(0)
NEURON(1)
NEURON(2)

const float smallestGap = 5.9604645e-8; // 2^-24

vec4 previousOutput(uint row, uint quad) {
    return row < p.previousRows ? previous[p.previous + row * p.quads + quad] : vec4(0.0);
}

// 1 - z^p, with z kept away from 1.
vec4 normGap(vec4 z) {
    return max(1.0 - neuronPow(min(z, 1.0 - smallestGap), vec4(p.pNorm)), smallestGap);
}
// (1 - z^p)^(1/p) and its derivative.
vec4 complement(vec4 z) {
    if (p.pNorm == 1.0) return 1.0 - z;
    return neuronPow(normGap(z), vec4(1.0 / p.pNorm));
}
vec4 complementSlope(vec4 z) {
    if (p.pNorm == 1.0) return vec4(-1.0);
    vec4 base = min(z, 1.0 - smallestGap);
    if (p.pNorm < 1.0) {
        base = max(base, smallestGap); // 0 to a negative power is infinite
    }
    return -neuronPow(base, vec4(p.pNorm - 1.0)) *
           neuronPow(normGap(z), vec4(1.0 / p.pNorm - 1.0));
}

#endif
