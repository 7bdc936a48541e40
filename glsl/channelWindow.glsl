// Sums over a window of neighbouring channels. CHANNEL_WINDOW_SUM(NAME, AT, ADD) declares
//     vec4 NAME(int slice, int before, int after)
// for the four channels of a slice: what ADD(sum, value) makes of AT's channels from `before` below to
// `after` above each of them. Slices count from the invocation's first. AT(int slice) gives zeros where
// isSlice(slice) is false. No product may go into ADD that a compiler could fuse with the addition:
// whether it does depends on where the value comes from, and the same sums must come of each variant.
#ifndef MPSVK_CHANNELWINDOW_GLSL
#define MPSVK_CHANNELWINDOW_GLSL

vec4 addValue(vec4 sum, vec4 value) { return sum + value; }
vec4 addSquare(vec4 sum, vec4 value) { return fma(value, value, sum); }

// An element for the own channels at distances from 5 to reach.
vec4 fartherElement(float element, ivec4 distances, int reach) {
    return mix(vec4(0.0), vec4(element), lessThanEqual(uvec4(distances - 5), uvec4(uint(reach) - 5u)));
}

#define CHANNEL_WINDOW_SUM(NAME, AT, ADD)                                                          \
    vec4 NAME(int slice, int before, int after) {                                                  \
        const ivec4 lanes = ivec4(0, 1, 2, 3);                                                     \
        vec4 own = AT(slice), sum = ADD(vec4(0.0), own);                                           \
        if (before > 0) {                                                                          \
            vec4 below = AT(slice - 1);                                                            \
            sum = ADD(sum, vec4(below.w, own.xyz));                                                \
            if (before > 1) sum = ADD(sum, vec4(below.zw, own.xy));                                \
            if (before > 2) sum = ADD(sum, vec4(below.yzw, own.x));                                \
            if (before > 3) sum = ADD(sum, below);                                                 \
        }                                                                                          \
        if (after > 0) {                                                                           \
            vec4 above = AT(slice + 1);                                                            \
            sum = ADD(sum, vec4(own.yzw, above.x));                                                \
            if (after > 1) sum = ADD(sum, vec4(own.zw, above.xy));                                 \
            if (after > 2) sum = ADD(sum, vec4(own.w, above.xyz));                                 \
            if (after > 3) sum = ADD(sum, above);                                                  \
        }                                                                                          \
        if (before > 4)                                                                            \
            for (int d = 1; 4 * d - 3 <= before && isSlice(slice - d); ++d) {                      \
                vec4 far = AT(slice - d);                                                          \
                for (int m = 0; m < 4; ++m)                                                        \
                    sum = ADD(sum, fartherElement(far[m], 4 * d + lanes - m, before));             \
            }                                                                                      \
        if (after > 4)                                                                             \
            for (int d = 1; 4 * d - 3 <= after && isSlice(slice + d); ++d) {                       \
                vec4 far = AT(slice + d);                                                          \
                for (int m = 0; m < 4; ++m)                                                        \
                    sum = ADD(sum, fartherElement(far[m], 4 * d - lanes + m, after));              \
            }                                                                                      \
        return sum;                                                                                \
    }

#endif
