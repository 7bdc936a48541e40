// Comparisons that are sure of their NaN.
#ifndef MPSVK_COMPARE_GLSL
#define MPSVK_COMPARE_GLSL

// By its bits: compilers may take a float for never being NaN.
bvec4 isNotNumber(vec4 v) {
    return greaterThan(floatBitsToUint(v) & 0x7fffffffu, uvec4(0x7f800000u));
}

bvec4 both(bvec4 a, bvec4 b) { return bvec4(uvec4(a) & uvec4(b)); }
bvec4 either(bvec4 a, bvec4 b) { return bvec4(uvec4(a) | uvec4(b)); }

#endif
