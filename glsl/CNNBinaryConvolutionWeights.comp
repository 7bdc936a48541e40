// The weights alone are bits, for -1 and 1.
#version 450
#extension GL_GOOGLE_include_directive : require
layout(local_size_x = 64) in;
#include "binaryConvolution.glsl"

IMAGE_SOURCE(1, source)
IMAGE_EDGE_READ(source)
IMAGE_DESTINATION(2, destination)
layout(set = 0, binding = 3, std430) readonly buffer Inputs { vec4 inputs[]; }; // biases, scales
layout(set = 0, binding = 6, std430) readonly buffer Betas { float betas[]; };
layout(set = 0, binding = 7, std430) readonly buffer Channels { vec4 channels[]; };
layout(set = 0, binding = 8, std430) readonly buffer Weights { uvec4 weights[]; };
BINARY_FINISH(channels, betas)

float signedSum(vec4 u, uint bits) {
    bvec4 positive = notEqual(uvec4(bits) & uvec4(1u, 2u, 4u, 8u), uvec4(0u));
    vec4 v = mix(-u, u, positive);
    return ((v.x + v.y) + v.z) + v.w;
}

void main() {
    uint slices = (p.destination.channels + 3u) / 4u;
    uint tiles = (p.clipWidth + binaryTilePixels - 1u) / binaryTilePixels;
    uint i = gridIndex();
    if (i >= slices * tiles * p.clipHeight * p.images) return;
    Place at = placeOf(i, slices, tiles, p.clipHeight);
    int left = at.x * int(binaryTilePixels);
    uint inputSlices = (p.source.channels + 3u) / 4u;
    vec4 sums[binaryTilePixels];
    for (uint t = 0u; t < binaryTilePixels; ++t) sums[t] = vec4(0.0);
    uint weight = at.slice * uint(p.kernelHeight * p.kernelWidth) * p.words;
    for (int q = 0; q < p.kernelHeight; ++q)
        for (int r = 0; r < p.kernelWidth; ++r, weight += p.words)
            for (uint slice = 0u; slice < inputSlices; ++slice) {
                uvec4 w = weights[weight + slice / 8u] >> (slice % 8u * 4u);
                vec4 bias = inputs[slice], scale = inputs[inputSlices + slice];
                for (uint t = 0u; t < binaryTilePixels; ++t) {
                    vec4 u = (source_read(p.source, tapX(left + int(t), r), tapY(at.y, q), slice,
                                          at.image, p.clampEdges) + bias) * scale;
                    sums[t] += vec4(signedSum(u, w.x), signedSum(u, w.y), signedSum(u, w.z),
                                    signedSum(u, w.w));
                }
            }
    for (int t = 0; t < int(binaryTilePixels); ++t) {
        if (left + t >= int(p.clipWidth)) break;
        uint pixel = (at.image * p.clipHeight + uint(at.y)) * p.clipWidth + uint(left + t);
        destination_store(p.destination, p.clipX + left + t, p.clipY + at.y, at.slice, at.image,
                          finished(sums[t], at.slice, pixel));
    }
}
