// Bias gradient from the partial sums of CNNConvolutionBiasGradient. The grid is (blocks of texels).
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "CNNConvolution.h"
#include "sumOfParts.glsl"

layout(set = 0, binding = 0) uniform Block {
    CNNConvolutionBiasParameters parameters;
};
layout(set = 0, binding = 2, std430) buffer BiasGradient {
    float biasGradient[];
};

void main() {
    uint texel = elementOfInvocation();
    vec4 sum = sumOfParts(texel, parameters.texels, parameters.texels, parameters.splits);
    if (!isResult(texel, parameters.texels)) {
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
