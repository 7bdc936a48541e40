// Weights and bias gradient from the partial sums of CNNConvolutionThinGradientWeights, added up in the
// order of the parts.
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
    uint taps = parameters.kernelWidth * parameters.kernelHeight;
    uint channels = parameters.reducedPerGroup;
    uint texels = (taps * channels + 1u) * parameters.tiles;
    uint i = elementOfInvocation();
    vec4 sum = sumOfParts(i, texels, texels, parameters.splits);
    if (!isResult(i, texels)) {
        return;
    }
    uint weight = i / parameters.tiles;
    uint tap = weight / channels;
    uint c = weight - tap * channels;
    bool accumulate = parameters.accumulate != 0u;
    for (uint lane = 0u; lane < 4u; ++lane) {
        uint o = (i - weight * parameters.tiles) * 4u + lane;
        if (o >= parameters.outputChannels) {
            return;
        }
        if (tap == taps) {
            if (parameters.biasColumn != 0u) {
                biasGradient[o] = accumulate ? biasGradient[o] + sum[lane] : sum[lane];
            }
            continue;
        }
        // Of a transposed convolution `o` is an input channel and `c` an output channel.
        uint at = parameters.transposed != 0u
                      ? (c * taps + taps - 1u - tap) * parameters.outputChannels + o
                      : (o * taps + tap) * channels + c;
        weightsGradient[at] = accumulate ? weightsGradient[at] + sum[lane] : sum[lane];
    }
}
