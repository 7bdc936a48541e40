// e^x that is 0 wherever it is less than the smallest normal number, also where the built-in one is
// not, and NaN of NaN.
#ifndef MPSVK_EXPONENTIAL_GLSL
#define MPSVK_EXPONENTIAL_GLSL

vec4 exponential(vec4 x) { return mix(exp(x), vec4(0.0), lessThan(x, vec4(-87.3365))); }
float exponential(float x) { return x < -87.3365 ? 0.0 : exp(x); }

#endif
