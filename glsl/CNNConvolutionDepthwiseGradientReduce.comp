// Weights and bias gradient from the partial sums of CNNConvolutionDepthwiseGradientWeights, added
// up in the order of the parts.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "CNNConvolution.h"
#include "grid.glsl"

layout(local_size_x = 64) in;
layout(set = 0, binding = 0) uniform Block {
    CNNConvolutionWeightsParameters parameters;
};
layout(set = 0, binding = 1, std430) readonly buffer Partials {
    vec4 partials[];
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
    uint i = gridIndex();
    if (i >= (taps + 1u) * texels) {
        return;
    }
    vec4 sum = vec4(0.0);
    for (uint split = 0u; split < parameters.splits; ++split) {
        sum += partials[split * (taps + 1u) * texels + i];
    }
    uint tap = i / texels;
    bool accumulate = parameters.accumulate != 0u;
    for (uint lane = 0u; lane < 4u; ++lane) {
        uint o = (i - tap * texels) * 4u + lane;
        if (o >= parameters.outputChannels) {
            return;
        }
        if (tap == taps) {
            if (parameters.transposed != 0u) {
                return;
            }
            biasGradient[o] = accumulate ? biasGradient[o] + sum[lane] : sum[lane];
        } else {
            uint at = o * taps + (parameters.transposed != 0u ? taps - 1u - tap : tap);
            weightsGradient[at] = accumulate ? weightsGradient[at] + sum[lane] : sum[lane];
        }
    }
}
