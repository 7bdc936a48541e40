// Weights and bias gradient from partial sums, added up in the order of the parts.
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
    uint columns = taps * parameters.tileSlices + 1u;
    uint elements = parameters.outputChannels * columns;
    uint i = elementOfInvocation();
    bool transposed = parameters.transposed != 0u;
    // Neighbours write neighbours.
    uint o = transposed ? i % parameters.outputChannels : i / columns;
    uint column = transposed ? i / parameters.outputChannels : i - o * columns;
    uint stride = parameters.tiles * parameters.tileChannels * columns;
    vec4 sum = sumOfParts(o * columns + column, elements, stride, parameters.splits);
    if (!isResult(i, elements)) {
        return;
    }

    bool accumulate = parameters.accumulate != 0u;
    if (column == columns - 1u) {
        if (parameters.biasColumn == 0u) {
            return;
        }
        biasGradient[o] = accumulate ? biasGradient[o] + sum.x : sum.x;
        return;
    }
    uint tap = column / parameters.tileSlices;
    uint slice = column - tap * parameters.tileSlices;
    slice += tileFirstSlice(o / parameters.tileChannels, parameters.tileChannels,
                            parameters.resultPerGroup, parameters.reducedPerGroup);
    uint groupStart = o / parameters.resultPerGroup * parameters.reducedPerGroup;
    // Of a transposed convolution `o` is an input channel and the texel holds output channels.
    uint at = (o * taps + tap) * parameters.reducedPerGroup;
    uint step = 1u;
    if (transposed) {
        at = (groupStart * taps + taps - 1u - tap) * parameters.resultPerGroup +
             o % parameters.resultPerGroup;
        step = taps * parameters.resultPerGroup;
    }
    for (uint lane = 0u; lane < 4u; ++lane) {
        uint c = slice * 4u + lane - groupStart; // huge for channels before the group
        if (c < parameters.reducedPerGroup) {
            uint place = at + c * step;
            weightsGradient[place] =
                accumulate ? weightsGradient[place] + sum[lane] : sum[lane];
        }
    }
}
