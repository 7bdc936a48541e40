// Reads between pixels.
#ifndef MPSVK_BILINEAR_GLSL
#define MPSVK_BILINEAR_GLSL

#include "pixel.glsl"

// Along one axis: the pixels around a position, and the weight of the second. One that has no
// weight is not read: it may be no number.
struct Between {
    int low, high;
    float weight;
};

Between clamped(Between at, int size) {
    at.low = clamp(at.low, 0, size - 1);
    at.high = clamp(at.high, 0, size - 1);
    if (at.low == at.high) at.weight = 0.0;
    return at;
}

// Declares `vec4 N_between(v, x, y, slice, image)`; pixels outside are zeros.
#define IMAGE_BETWEEN(N)                                                                           \
    vec4 N##_inside(ImageView v, int x, int y, uint slice, uint image) {                           \
        return inside(v, x, y) ? N##_load(v, x, y, slice, image) : vec4(0.0);                      \
    }                                                                                              \
    vec4 N##_row(ImageView v, Between x, int y, uint slice, uint image) {                          \
        vec4 value = N##_inside(v, x.low, y, slice, image);                                        \
        if (x.weight > 0.0)                                                                        \
            value = (1.0 - x.weight) * value +                                                     \
                    x.weight * N##_inside(v, x.high, y, slice, image);                             \
        return value;                                                                              \
    }                                                                                              \
    vec4 N##_between(ImageView v, Between x, Between y, uint slice, uint image) {                  \
        vec4 value = N##_row(v, x, y.low, slice, image);                                           \
        if (y.weight > 0.0)                                                                        \
            value = (1.0 - y.weight) * value + y.weight * N##_row(v, x, y.high, slice, image);     \
        return value;                                                                              \
    }

#endif
