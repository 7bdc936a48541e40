// Weights and bias gradient from partial sums, added up in the order of the parts.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "CNNConvolution.h"
#include "grid.glsl"

layout(local_size_x = 64) in;
layout(set = 0, binding = 0) uniform Block {
    CNNConvolutionWeightsParameters parameters;
};
layout(set = 0, binding = 1, std430) readonly buffer Partials {
    float partials[];
};
layout(set = 0, binding = 2, std430) buffer WeightsGradient {
    float weightsGradient[];
};
layout(set = 0, binding = 3, std430) buffer BiasGradient {
    float biasGradient[];
};

float reduced(uint output_, uint column, uint lane) {
    uint columns = parameters.kernelWidth * parameters.kernelHeight * parameters.tileSlices + 1u;
    uint channels = parameters.tiles * parameters.tileChannels;
    uint at = (output_ * columns + column) * 4u + lane;
    float sum = 0.0;
    for (uint split = 0u; split < parameters.splits; ++split) {
        sum += partials[at + split * channels * columns * 4u];
    }
    return sum;
}

void main() {
    uint taps = parameters.kernelWidth * parameters.kernelHeight;
    uint perOutput = taps * parameters.reducedPerGroup;
    uint i = gridIndex();
    if (i < parameters.outputChannels) {
        float sum = reduced(i, taps * parameters.tileSlices, 0u);
        biasGradient[i] = parameters.accumulate != 0u ? biasGradient[i] + sum : sum;
    }
    if (i >= parameters.outputChannels * perOutput) {
        return;
    }
    uint o = i / perOutput;
    uint tap = (i - o * perOutput) / parameters.reducedPerGroup;
    uint c = i % parameters.reducedPerGroup + o / parameters.resultPerGroup * parameters.reducedPerGroup;
    c -= 4u * tileFirstSlice(o / parameters.tileChannels, parameters.tileChannels,
                             parameters.resultPerGroup, parameters.reducedPerGroup);
    float sum = reduced(o, tap * parameters.tileSlices + c / 4u, c % 4u);
    weightsGradient[i] = parameters.accumulate != 0u ? weightsGradient[i] + sum : sum;
}
