// What the binary convolution shaders share.
#ifndef MPSVK_BINARYCONVOLUTION_GLSL
#define MPSVK_BINARYCONVOLUTION_GLSL

#include "CNNBinaryConvolution.h"
#include "neuron.glsl"
#include "pixel.glsl"

layout(set = 0, binding = 0) uniform Parameters { CNNBinaryConvolutionParameters p; };
layout(constant_id = 33) const uint scalesByBeta = 0u;
layout(constant_id = 35) const uint NEURON = 0u;

const uint outsidePixel = 0xffffffffu;

// The pixel's place among those of all images that (x, y) reads.
uint pixelAt(int x, int y, uint image) {
    int width = int(p.source.width), height = int(p.source.height);
    if (p.clampEdges != 0u) {
        x = clamp(x, 0, width - 1);
        y = clamp(y, 0, height - 1);
    }
    if (x < 0 || y < 0 || x >= width || y >= height) return outsidePixel;
    return (image * p.source.height + uint(y)) * p.source.width + uint(x);
}

int tapX(int x, int r) { return p.startX + p.strideX * x + p.dilationX * r; }
int tapY(int y, int q) { return p.startY + p.strideY * y + p.dilationY * q; }

// Declares `vec4 finished(sum, slice, pixel)`, with CHANNELS the buffer of scales, biases and PReLU
// slopes and BETAS that of a factor per result pixel.
#define BINARY_FINISH(CHANNELS, BETAS)                                                             \
    vec4 finished(vec4 sum, uint slice, uint pixel) {                                              \
        uint slices = (p.destination.channels + 3u) / 4u;                                          \
        if (scalesByBeta != 0u) sum *= BETAS[pixel];                                               \
        sum = CHANNELS[slice] * sum + CHANNELS[slices + slice];                                    \
        if (NEURON == neuronNone) return sum;                                                      \
        vec4 a = NEURON == neuronPReLU ? CHANNELS[2u * slices + slice] : vec4(p.neuronA);          \
        return neuronForward(NEURON, sum, a, vec4(p.neuronB), vec4(p.neuronC));                    \
    }

#endif
