// The mean of |u| over the channels and taps of each window.
#version 450
#extension GL_GOOGLE_include_directive : require
layout(local_size_x = 64) in;
#include "binaryConvolution.glsl"

layout(set = 0, binding = 5, std430) readonly buffer Magnitudes { float magnitudes[]; };
layout(set = 0, binding = 6, std430) writeonly buffer Betas { float betas[]; };

void main() {
    uint i = gridIndex();
    if (i >= p.clipWidth * p.clipHeight * p.images) return;
    Place at = placeOf(i, 1u, p.clipWidth, p.clipHeight);
    float sum = 0.0;
    for (int q = 0; q < p.kernelHeight; ++q)
        for (int r = 0; r < p.kernelWidth; ++r) {
            uint pixel = pixelAt(tapX(at.x, r), tapY(at.y, q), at.image);
            if (pixel == outsidePixel) {
                sum += p.outsideMagnitude;
                continue;
            }
            float one = 0.0;
            for (uint word = 0u; word < p.words; ++word) one += magnitudes[pixel * p.words + word];
            sum += one;
        }
    betas[i] = sum * p.betaFactor;
}
