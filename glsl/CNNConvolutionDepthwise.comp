// Depthwise convolution: output channel o reads input channel o / multiplier alone.
// Weights are packed [q][r][texel of output channels].
#version 450
#extension GL_GOOGLE_include_directive : require
#include "CNNConvolution.h"
#include "grid.glsl"
#include "image.glsl"
#include "neuron.glsl"

layout(local_size_x = 64) in;
layout(constant_id = 35) const uint NEURON = 0u;
layout(set = 0, binding = 0) uniform Block {
    CNNConvolutionParameters parameters;
};
IMAGE_SOURCE(1, source)
#include "depthwise.glsl"
IMAGE_DESTINATION(2, destination)
layout(set = 0, binding = 3, std430) readonly buffer Weights {
    vec4 weights[];
};
layout(set = 0, binding = 4, std430) readonly buffer Channels {
    vec4 channels[]; // biases, then for PReLU the slopes
};

void main() {
    uint i = gridIndex();
    uint pixel = i / parameters.resultSlices;
    uint slice = i - pixel * parameters.resultSlices;
    uint line = pixel / parameters.clipWidth;
    int x = int(pixel - line * parameters.clipWidth);
    uint image = line / parameters.clipHeight;
    int y = int(line - image * parameters.clipHeight);
    if (image >= parameters.images) {
        return;
    }
    vec4 sum = vec4(0.0);
    for (uint q = 0u; q < parameters.kernelHeight; ++q) {
        int v = y * parameters.strideY + parameters.originY + int(q) * parameters.dilationY;
        for (uint r = 0u; r < parameters.kernelWidth; ++r) {
            int u = x * parameters.strideX + parameters.originX + int(r) * parameters.dilationX;
            vec4 w = weights[(q * parameters.kernelWidth + r) * parameters.resultSlices + slice];
            sum = fma(depthwiseLoad(parameters.source, u, v, slice, image), w, sum);
        }
    }
    if (parameters.hasBias != 0u) {
        sum += channels[slice];
    }
    if (NEURON != neuronNone) {
        vec4 a = vec4(parameters.neuronA);
        if (NEURON == neuronPReLU) {
            a = channels[parameters.resultSlices + slice];
        }
        sum = neuronForward(NEURON, sum, a, vec4(parameters.neuronB), vec4(parameters.neuronC));
    }
    destination_store(parameters.destination, int(parameters.clipX) + x,
                      int(parameters.clipY) + y, slice, image, sum);
}
