// What the optimizers share: where an invocation works, how it reaches its operands, and what
// happens to a gradient first.
#ifndef MPSVK_NNOPTIMIZER_GLSL
#define MPSVK_NNOPTIMIZER_GLSL

#include "NNOptimizer.h"

layout(local_size_x = 256) in;
layout(set = 0, binding = 0) uniform Parameters { NNOptimizerParameters p; };

// Four elements that lie a workgroup's width apart: each load of a workgroup touches consecutive
// ones, wherever the range begins.
struct Place {
    bool second; // which range; the same for a whole workgroup
    uvec4 row, column;
    bvec4 valid;
};

Place placeInRange() {
    uint group = gl_WorkGroupID.x + gl_WorkGroupID.y * gl_NumWorkGroups.x;
    Place at;
    at.second = group >= p.first.groups;
    if (at.second) group -= p.first.groups;
    uint rows = at.second ? p.second.rows : p.first.rows;
    uint columns = at.second ? p.second.columns : p.first.columns;
    uvec4 element = uvec4(0u, 1u, 2u, 3u) * gl_WorkGroupSize.x +
                    (group * optimizerElementsPerGroup + gl_LocalInvocationIndex);
    at.valid = lessThan(element, uvec4(rows * columns));
    at.row = uvec4(0u);
    at.column = element;
    if (rows > 1u) {
        at.row = element / columns;
        at.column = element - at.row * columns;
    }
    return at;
}

// OPTIMIZER_SOURCE(1, gradient) declares `vec4 gradient_load(Place)`, OPTIMIZER_DESTINATION
// `void N_store(Place, vec4)`, OPTIMIZER_MOMENT both. The second range's buffer is bound 8 further.
#define OPTIMIZER_BUFFERS(number, access, N)                                                       \
    layout(set = 0, binding = number, std430) access buffer N##FirstBlock { float N##First[]; };   \
    layout(set = 0, binding = number + 8, std430) access buffer N##SecondBlock {                   \
        float N##Second[];                                                                         \
    };

#define OPTIMIZER_INDEX(N)                                                                         \
    (at.second ? p.second.N##Offset + at.row * p.second.N##Stride + at.column                      \
               : p.first.N##Offset + at.row * p.first.N##Stride + at.column)

#define OPTIMIZER_LOAD(N)                                                                          \
    vec4 N##_load(Place at) {                                                                      \
        uvec4 index = OPTIMIZER_INDEX(N);                                                          \
        vec4 value = vec4(0.0);                                                                    \
        if (at.second) {                                                                           \
            for (uint k = 0u; k < 4u; ++k)                                                         \
                if (at.valid[k]) value[k] = N##Second[index[k]];                                   \
        } else {                                                                                   \
            for (uint k = 0u; k < 4u; ++k)                                                         \
                if (at.valid[k]) value[k] = N##First[index[k]];                                    \
        }                                                                                          \
        return value;                                                                              \
    }

#define OPTIMIZER_STORE(N)                                                                         \
    void N##_store(Place at, vec4 value) {                                                         \
        uvec4 index = OPTIMIZER_INDEX(N);                                                          \
        if (at.second) {                                                                           \
            for (uint k = 0u; k < 4u; ++k)                                                         \
                if (at.valid[k]) N##Second[index[k]] = value[k];                                   \
        } else {                                                                                   \
            for (uint k = 0u; k < 4u; ++k)                                                         \
                if (at.valid[k]) N##First[index[k]] = value[k];                                    \
        }                                                                                          \
    }

#define OPTIMIZER_SOURCE(number, N) OPTIMIZER_BUFFERS(number, readonly, N) OPTIMIZER_LOAD(N)
#define OPTIMIZER_DESTINATION(number, N) OPTIMIZER_BUFFERS(number, writeonly, N) OPTIMIZER_STORE(N)
#define OPTIMIZER_MOMENT(number, N)                                                                \
    OPTIMIZER_BUFFERS(number, , N) OPTIMIZER_LOAD(N) OPTIMIZER_STORE(N)

// The gradient after clipping, rescaling and regularization. A NaN has to stay one, and compilers
// may take comparisons for min and max, which lose it: its bits tell.
vec4 preprocessed(vec4 g, vec4 w) {
    if (p.clips != 0u) {
        bvec4 isNumber = lessThanEqual(floatBitsToUint(g) & 0x7fffffffu, uvec4(0x7f800000u));
        g = mix(g, clamp(g, vec4(p.clipMin), vec4(p.clipMax)), isNumber);
    }
    g *= p.rescale;
    if (p.regularization == 1u) g += p.regularizationScale * sign(w);
    if (p.regularization == 2u) g += p.regularizationScale * w;
    return g;
}

// Vulkan allows sqrt an error of several ulp; one Newton step leaves at most one. Where the
// residual could underflow or overflow the root stays as it is.
vec4 squareRoot(vec4 x) {
    vec4 root = sqrt(x);
    precise vec4 residual = fma(-root, root, x);
    vec4 corrected = root + residual * (0.5 / root);
    return mix(root, corrected, equal(clamp(root, 1e-15, 1e15), root));
}

#endif
