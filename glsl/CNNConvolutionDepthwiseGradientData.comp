// dx[c] = sum over taps and over the output channels of input channel c of W * E, with the weights
// of CNNConvolutionDepthwise. With SPREAD the same of a transposed convolution: there each tap of a
// pixel reads one pixel of the gradient.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "CNNConvolution.h"
layout(local_size_x = 64) in;
#include "grid.glsl"
#include "image.glsl"

layout(constant_id = 37) const bool SPREAD = false;
layout(set = 0, binding = 0) uniform Block {
    CNNConvolutionParameters parameters;
};
IMAGE_SOURCE(1, source)
IMAGE_DESTINATION(2, destination)
layout(set = 0, binding = 3, std430) readonly buffer Weights {
    vec4 weights[];
};

// First and last pixel of an axis of the gradient that a tap, at `begin` in the first window, takes
// to `pixel`; none when the last is before the first.
ivec2 windowsOfTap(int pixel, int size, int windows, int origin, int stride, int extent,
                   int begin) {
    if (SPREAD) {
        int position = pixel * stride + begin;
        return position >= 0 && position < windows ? ivec2(position) : ivec2(0, -1);
    }
    int clampEdges = int(parameters.clampEdges);
    int reach = windowReach(origin, stride, extent, windows);
    return ivec2(firstWindowOfTap(pixel, clampEdges, origin, stride, begin),
                 lastWindowOfTap(pixel, size, clampEdges, reach, stride, begin, windows));
}

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
    int width = int(parameters.source.width);
    int height = int(parameters.source.height);
    int extentX = dilatedExtent(int(parameters.kernelWidth), parameters.dilationX);
    int extentY = dilatedExtent(int(parameters.kernelHeight), parameters.dilationY);
    uint outputSlices = (parameters.source.channels + 3u) / 4u;
    vec4 sum = vec4(0.0);
    for (uint q = 0u; q < parameters.kernelHeight; ++q) {
        ivec2 rows = windowsOfTap(y, int(parameters.edgeHeight), height,
                                  parameters.originY, parameters.strideY, extentY,
                                  parameters.originY + int(q) * parameters.dilationY);
        for (uint r = 0u; r < parameters.kernelWidth; ++r) {
            ivec2 columns = windowsOfTap(x, int(parameters.edgeWidth), width,
                                         parameters.originX, parameters.strideX, extentX,
                                         parameters.originX + int(r) * parameters.dilationX);
            if (columns[0] > columns[1] || rows[0] > rows[1]) {
                continue;
            }
            ivec2 first = ivec2(columns[0], rows[0]);
            ivec2 last = ivec2(columns[1], rows[1]);
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
