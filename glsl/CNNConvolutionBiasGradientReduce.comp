// Bias gradient from the partial sums of CNNConvolutionBiasGradient. The grid is (blocks of texels).
#version 450
#extension GL_GOOGLE_include_directive : require
#include "CNNConvolution.h"

layout(local_size_x = 256) in;
layout(set = 0, binding = 0) uniform Block {
    CNNConvolutionBiasParameters parameters;
};
layout(set = 0, binding = 1, std430) readonly buffer Partials {
    vec4 partials[];
};
layout(set = 0, binding = 2, std430) buffer BiasGradient {
    float biasGradient[];
};
#include "rowSums.glsl"

void main() {
    uint i = gl_LocalInvocationID.x;
    uint texel = gl_WorkGroupID.x * parameters.lanes + i % parameters.lanes;
    vec4 sum = vec4(0.0);
    if (texel < parameters.texels) {
        for (uint split = i / parameters.lanes; split < parameters.splits;
             split += 256u / parameters.lanes) {
            sum += partials[split * parameters.texels + texel];
        }
    }
    sum = sumOfRows(sum, parameters.lanes);
    if (i >= parameters.lanes || texel >= parameters.texels) {
        return;
    }
    for (uint lane = 0u; lane < 4u; ++lane) {
        uint o = texel * 4u + lane;
        if (o < parameters.gradient.channels) {
            biasGradient[o] = parameters.accumulate != 0u ? biasGradient[o] + sum[lane]
                                                          : sum[lane];
        }
    }
}
