// Partial sums over parts of the pixels of dW[o][q][r] = sum of E[o] * x[o / multiplier at the tap]
// and of db[o] = sum of E[o], as texels of output channels at (part * (taps + 1) + tap) * texels +
// texel; the last tap is the bias. The grid is (linear over tap and texel, 1, parts). With SPREAD
// the same of a transposed convolution: its windows are the pixels of x, its taps read E.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "CNNConvolution.h"
#include "image.glsl"

layout(local_size_x = 64) in;
layout(constant_id = 37) const bool SPREAD = false;
layout(set = 0, binding = 0) uniform Block {
    CNNConvolutionWeightsParameters parameters;
};
IMAGE_SOURCE(1, gradient)
IMAGE_SOURCE(2, source)
#include "depthwise.glsl"
layout(set = 0, binding = 3, std430) writeonly buffer Partials {
    vec4 partials[];
};

void main() {
    uint texels = (parameters.outputChannels + 3u) / 4u;
    uint taps = parameters.kernelWidth * parameters.kernelHeight;
    uint i = gl_GlobalInvocationID.x;
    if (i >= (taps + 1u) * texels) {
        return;
    }
    uint tap = i / texels;
    uint slice = i - tap * texels;
    uint q = tap / parameters.kernelWidth;
    int u = parameters.originX + int(tap - q * parameters.kernelWidth) * parameters.dilationX;
    int v = parameters.originY + int(q) * parameters.dilationY;

    uint width = SPREAD ? parameters.source.width : parameters.gradient.width;
    uint height = SPREAD ? parameters.source.height : parameters.gradient.height;
    uint first = gl_WorkGroupID.z * parameters.splitPixels;
    uint end = min(first + parameters.splitPixels, parameters.images * height * width);
    uint image = first / (width * height);
    int y = int(first / width - image * height);
    int x = int(first % width);
    vec4 sum = vec4(0.0);
    for (uint pixel = first; pixel < end; ++pixel) {
        int tapX = u + x * parameters.strideX;
        int tapY = v + y * parameters.strideY;
        vec4 e = vec4(0.0);
        vec4 value = vec4(1.0);
        if (!SPREAD) {
            e = gradient_load(parameters.gradient, x, y, slice, image);
            if (tap < taps) {
                value = depthwiseLoad(parameters.source, tapX, tapY, slice, image);
            }
        } else if (tap < taps && tapX >= 0 && tapX < int(parameters.gradient.width) &&
                   tapY >= 0 && tapY < int(parameters.gradient.height)) {
            e = gradient_load(parameters.gradient, tapX, tapY, slice, image);
            value = depthwiseLoad(parameters.source, x, y, slice, image);
        }
        sum = fma(e, value, sum);
        ++x;
        if (x == int(width)) {
            x = 0;
            ++y;
        }
        if (y == int(height)) {
            y = 0;
            ++image;
        }
    }
    partials[gl_WorkGroupID.z * (taps + 1u) * texels + i] = sum;
}
