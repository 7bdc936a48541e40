// Depthwise convolution: output channel o reads input channel o / multiplier alone.
// Weights are packed [q][r][texel of output channels]. With SPREAD the transposed convolution: a
// pixel visits the windows whose taps fall on it.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "CNNConvolution.h"
layout(local_size_x = 64) in;
#include "grid.glsl"
#include "image.glsl"
#include "neuron.glsl"
#include "taps.glsl"

layout(constant_id = 35) const uint NEURON = 0u;
layout(constant_id = 37) const bool SPREAD = false;
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

TapRange tapsOf(int pixel, int origin, int stride, int dilation, uint count) {
    return SPREAD ? tapsOfPhase(origin, stride, dilation, int(count), pixel % stride)
                  : allTaps(count);
}

// Where a tap at `begin` in the first window reads for a pixel of the result.
int positionOf(int pixel, int begin, int stride) {
    return SPREAD ? floorDivide(pixel - begin, stride) : pixel * stride + begin;
}

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
    TapRange rangeX = tapsOf(x, parameters.originX, parameters.strideX, parameters.dilationX,
                             parameters.kernelWidth);
    TapRange rangeY = tapsOf(y, parameters.originY, parameters.strideY, parameters.dilationY,
                             parameters.kernelHeight);
    for (uint tapY = 0u; tapY < rangeY.count; ++tapY) {
        uint q = rangeY.first + tapY * rangeY.step;
        int v = positionOf(y, parameters.originY + int(q) * parameters.dilationY,
                           parameters.strideY);
        for (uint tapX = 0u; tapX < rangeX.count; ++tapX) {
            uint r = rangeX.first + tapX * rangeX.step;
            int u = positionOf(x, parameters.originX + int(r) * parameters.dilationX,
                               parameters.strideX);
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
