// What the optimizers share: where an invocation works, how it reaches its operands, and what
// happens to a gradient first.
#ifndef MPSVK_NNOPTIMIZER_GLSL
#define MPSVK_NNOPTIMIZER_GLSL

#include "NNOptimizer.h"

layout(local_size_x = 256) in;
layout(set = 0, binding = 0) uniform Parameters {
    NNOptimizerParameters p;
    OptimizerRange ranges[optimizerMostRanges]; // those that there are
};

// 1: a range's elements lie side by side, and in all operands in whole vectors of four.
layout(constant_id = 32) const uint inVectors = 0u;

// Four elements: where they are not in a vector they lie a workgroup's width apart, so that each load
// of a workgroup touches consecutive ones, wherever the range begins.
struct Place {
    uint range; // the same for a whole workgroup
    uvec4 row, column;
    bvec4 valid;
};

Place placeInRange() {
    uint group = gl_WorkGroupID.x + gl_WorkGroupID.y * gl_NumWorkGroups.x;
    Place at;
    at.range = 0u;
    for (uint end = p.rangeCount; end - at.range > 1u;) {
        uint middle = (at.range + end) / 2u;
        if (ranges[middle].firstGroup <= group)
            at.range = middle;
        else
            end = middle;
    }
    group -= ranges[at.range].firstGroup;
    uint columns = ranges[at.range].columns;
    uint apart = inVectors != 0u ? 1u : gl_WorkGroupSize.x;
    uint first = gl_LocalInvocationIndex * (inVectors != 0u ? 4u : 1u);
    uvec4 element = uvec4(0u, 1u, 2u, 3u) * apart + (group * optimizerElementsPerGroup + first);
    at.valid = lessThan(element, uvec4(p.rows * columns));
    at.row = uvec4(0u);
    at.column = element;
    if (p.rows > 1u) {
        at.row = element / columns;
        at.column = element - at.row * columns;
    }
    return at;
}

// OPTIMIZER_SOURCE(1, gradient) declares `vec4 gradient_load(Place)`, OPTIMIZER_DESTINATION
// `void N_store(Place, vec4)`, OPTIMIZER_MOMENT both.
#define OPTIMIZER_BUFFER(number, access, N)                                                        \
    layout(set = 0, binding = number, std430) access buffer N##Block { float N[]; };              \
    layout(set = 0, binding = number, std430) access buffer N##Vectors { vec4 N##_vectors[]; };

#define OPTIMIZER_INDEX(N)                                                                         \
    (ranges[at.range].N##Offset - p.N##Base + at.row * p.N##Stride + at.column)

#define OPTIMIZER_LOAD(N)                                                                          \
    vec4 N##_load(Place at) {                                                                      \
        uvec4 index = OPTIMIZER_INDEX(N);                                                          \
        if (inVectors != 0u && at.valid.w) return N##_vectors[index.x / 4u];                       \
        vec4 value = vec4(0.0);                                                                    \
        for (uint k = 0u; k < 4u; ++k)                                                             \
            if (at.valid[k]) value[k] = N[index[k]];                                               \
        return value;                                                                              \
    }

#define OPTIMIZER_STORE(N)                                                                         \
    void N##_store(Place at, vec4 value) {                                                         \
        uvec4 index = OPTIMIZER_INDEX(N);                                                          \
        if (inVectors != 0u && at.valid.w) {                                                       \
            N##_vectors[index.x / 4u] = value;                                                     \
            return;                                                                                \
        }                                                                                          \
        for (uint k = 0u; k < 4u; ++k)                                                             \
            if (at.valid[k]) N[index[k]] = value[k];                                               \
    }

#define OPTIMIZER_SOURCE(number, N) OPTIMIZER_BUFFER(number, readonly, N) OPTIMIZER_LOAD(N)
#define OPTIMIZER_DESTINATION(number, N) OPTIMIZER_BUFFER(number, writeonly, N) OPTIMIZER_STORE(N)
#define OPTIMIZER_MOMENT(number, N)                                                                \
    OPTIMIZER_BUFFER(number, , N) OPTIMIZER_LOAD(N) OPTIMIZER_STORE(N)

// The gradient after clipping, rescaling and regularization. A NaN has to stay one, and compilers
// may take comparisons for min and max, which lose it: its bits tell.
vec4 preprocessed(vec4 g, vec4 w) {
    if (p.clips != 0u) {
        bvec4 isNumber = lessThanEqual(floatBitsToUint(g) & 0x7fffffffu, uvec4(0x7f800000u));
        g = mix(g, min(max(g, p.clipMin), p.clipMax), isNumber);
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
