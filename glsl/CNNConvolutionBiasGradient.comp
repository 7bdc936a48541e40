// Partial sums over parts of the pixels of the incoming gradient: db of a transposed convolution.
// The grid is (blocks of texels, 1, parts).
#version 450
#extension GL_GOOGLE_include_directive : require
#include "CNNConvolution.h"
#include "image.glsl"

layout(local_size_x = 256) in;
layout(set = 0, binding = 0) uniform Block {
    CNNConvolutionBiasParameters parameters;
};
IMAGE_SOURCE(1, gradient)
layout(set = 0, binding = 2, std430) writeonly buffer Partials {
    vec4 partials[];
};
#include "rowSums.glsl"

void main() {
    uint i = gl_LocalInvocationID.x;
    uint texel = gl_WorkGroupID.x * parameters.lanes + i % parameters.lanes;
    uint first = gl_WorkGroupID.z * parameters.splitPixels;
    uint end = min(first + parameters.splitPixels, parameters.pixels);
    vec4 sum = vec4(0.0);
    if (texel < parameters.texels) {
        // Four loads at once, added up in order.
        const uint step = 256u / parameters.lanes;
        for (uint pixel = first + i / parameters.lanes; pixel < end; pixel += 4u * step) {
            vec4 next[4];
            [[unroll]] for (uint k = 0u; k < 4u; ++k) {
                uint at = min(pixel + k * step, parameters.pixels - 1u);
                uint line = at / parameters.gradient.width;
                uint image = line / parameters.gradient.height;
                next[k] = gradient_load(parameters.gradient,
                                        int(at - line * parameters.gradient.width),
                                        int(line - image * parameters.gradient.height), texel, image);
            }
            [[unroll]] for (uint k = 0u; k < 4u; ++k) {
                sum += pixel + k * step < end ? next[k] : vec4(0.0);
            }
        }
    }
    sum = sumOfRows(sum, parameters.lanes);
    if (i < parameters.lanes && texel < parameters.texels) {
        partials[gl_WorkGroupID.z * parameters.texels + texel] = sum;
    }
}
