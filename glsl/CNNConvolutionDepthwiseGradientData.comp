// dx[c] = sum over taps and over the output channels of input channel c of W * E, with the weights
// of CNNConvolutionDepthwise.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "CNNConvolution.h"
#include "grid.glsl"
#include "image.glsl"

layout(local_size_x = 64) in;
layout(set = 0, binding = 0) uniform Block {
    CNNConvolutionParameters parameters;
};
IMAGE_SOURCE(1, source)
IMAGE_DESTINATION(2, destination)
layout(set = 0, binding = 3, std430) readonly buffer Weights {
    vec4 weights[];
};

// Sum of the texels of a rectangle of windows.
vec4 windowsLoad(ivec2 first, ivec2 last, uint slice, uint image) {
    vec4 sum = vec4(0.0);
    for (int y = first.y; y <= last.y; ++y) {
        for (int x = first.x; x <= last.x; ++x) {
            sum += source_load(parameters.source, x, y, slice, image);
        }
    }
    return sum;
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
    int clampEdges = int(parameters.clampEdges);
    ivec2 windows = ivec2(parameters.source.width, parameters.source.height);
    int extentX = dilatedExtent(int(parameters.kernelWidth), parameters.dilationX);
    int extentY = dilatedExtent(int(parameters.kernelHeight), parameters.dilationY);
    ivec2 reach = ivec2(
        windowReach(parameters.originX, parameters.strideX, extentX, windows.x),
        windowReach(parameters.originY, parameters.strideY, extentY, windows.y));
    uint outputSlices = (parameters.source.channels + 3u) / 4u;
    vec4 sum = vec4(0.0);
    ivec2 first;
    ivec2 last;
    for (uint q = 0u; q < parameters.kernelHeight; ++q) {
        int begin = parameters.originY + int(q) * parameters.dilationY;
        first.y = firstWindowOfTap(y, clampEdges, parameters.originY, parameters.strideY, begin);
        last.y = lastWindowOfTap(y, int(parameters.destination.height), clampEdges, reach.y,
                                 parameters.strideY, begin, windows.y);
        for (uint r = 0u; r < parameters.kernelWidth; ++r) {
            begin = parameters.originX + int(r) * parameters.dilationX;
            first.x = firstWindowOfTap(x, clampEdges, parameters.originX, parameters.strideX,
                                       begin);
            last.x = lastWindowOfTap(x, int(parameters.destination.width), clampEdges, reach.x,
                                     parameters.strideX, begin, windows.x);
            if (first.x > last.x || first.y > last.y) {
                continue;
            }
            uint row = (q * parameters.kernelWidth + r) * outputSlices;
            if (parameters.multiplier == 1u) {
                sum = fma(windowsLoad(first, last, slice, image), weights[row + slice], sum);
                continue;
            }
            // Four input channels have `multiplier` whole texels of output channels.
            for (uint t = 0u; t < parameters.multiplier; ++t) {
                uint texel = slice * parameters.multiplier + t;
                if (texel >= outputSlices) {
                    break;
                }
                vec4 product = windowsLoad(first, last, texel, image) * weights[row + texel];
                for (uint lane = 0u; lane < 4u; ++lane) {
                    uint channel = (t * 4u + lane) / parameters.multiplier;
                    sum += mix(vec4(0.0), vec4(product[lane]),
                               equal(uvec4(0u, 1u, 2u, 3u), uvec4(channel)));
                }
            }
        }
    }
    destination_store(parameters.destination, int(parameters.clipX) + x,
                      int(parameters.clipY) + y, slice, image, sum);
}
