// Weights and bias gradient from the partial sums of CNNConvolutionDepthwiseGradientWeights, added
// up in the order of the parts.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "CNNConvolution.h"
#include "sumOfParts.glsl"

layout(set = 0, binding = 0) uniform Block {
    CNNConvolutionWeightsParameters parameters;
};
layout(set = 0, binding = 2, std430) buffer WeightsGradient {
    float weightsGradient[];
};
layout(set = 0, binding = 3, std430) buffer BiasGradient {
    float biasGradient[];
};

void main() {
    uint texels = (parameters.outputChannels + 3u) / 4u;
    uint taps = parameters.kernelWidth * parameters.kernelHeight;
    uint i = elementOfInvocation();
    vec4 sum = sumOfParts(i, (taps + 1u) * texels, (taps + 1u) * texels, parameters.splits);
    if (!isResult(i, (taps + 1u) * texels)) {
        return;
    }
    uint tap = i / texels;
    bool accumulate = parameters.accumulate != 0u;
    for (uint lane = 0u; lane < 4u; ++lane) {
        uint o = (i - tap * texels) * 4u + lane;
        if (o >= parameters.outputChannels) {
            return;
        }
        if (tap == taps) {
            if (parameters.biasColumn == 0u) {
                return;
            }
            biasGradient[o] = accumulate ? biasGradient[o] + sum[lane] : sum[lane];
        } else {
            uint at = o * taps + (parameters.transposed != 0u ? taps - 1u - tap : tap);
            weightsGradient[at] = accumulate ? weightsGradient[at] + sum[lane] : sum[lane];
        }
    }
}
