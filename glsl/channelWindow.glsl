// Sums over a window of neighbouring channels. CHANNEL_WINDOW_SUM(NAME, AT) declares
//     vec4 NAME(int slice, int before, int after)
// for the four channels of a slice: the sum of AT's channels from `before` below to `after` above
// each of them. Slices count from the invocation's first. AT(int slice) gives zeros where
// isSlice(slice) is false.
#ifndef MPSVK_CHANNELWINDOW_GLSL
#define MPSVK_CHANNELWINDOW_GLSL

// The elements of v that are at distances 5 ... reach of the own channels; element m is at
// nearest + step * m.
vec4 fartherElements(vec4 v, ivec4 nearest, int step, int reach) {
    vec4 sum = vec4(0.0);
    for (int m = 0; m < 4; ++m)
        sum += mix(vec4(0.0), vec4(v[m]),
                   lessThanEqual(uvec4(nearest + step * m - 5), uvec4(uint(reach) - 5u)));
    return sum;
}

#define CHANNEL_WINDOW_SUM(NAME, AT)                                                               \
    vec4 NAME(int slice, int before, int after) {                                                  \
        const ivec4 lanes = ivec4(0, 1, 2, 3);                                                     \
        vec4 own = AT(slice), sum = own;                                                           \
        if (before > 0) {                                                                          \
            vec4 below = AT(slice - 1);                                                            \
            sum += vec4(below.w, own.xyz);                                                         \
            if (before > 1) sum += vec4(below.zw, own.xy);                                         \
            if (before > 2) sum += vec4(below.yzw, own.x);                                         \
            if (before > 3) sum += below;                                                          \
        }                                                                                          \
        if (after > 0) {                                                                           \
            vec4 above = AT(slice + 1);                                                            \
            sum += vec4(own.yzw, above.x);                                                         \
            if (after > 1) sum += vec4(own.zw, above.xy);                                          \
            if (after > 2) sum += vec4(own.w, above.xyz);                                          \
            if (after > 3) sum += above;                                                           \
        }                                                                                          \
        if (before > 4)                                                                            \
            for (int d = 1; 4 * d - 3 <= before && isSlice(slice - d); ++d)                        \
                sum += fartherElements(AT(slice - d), 4 * d + lanes, -1, before);                  \
        if (after > 4)                                                                             \
            for (int d = 1; 4 * d - 3 <= after && isSlice(slice + d); ++d)                         \
                sum += fartherElements(AT(slice + d), 4 * d - lanes, 1, after);                    \
        return sum;                                                                                \
    }

#endif
