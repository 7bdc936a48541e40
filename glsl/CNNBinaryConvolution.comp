// Both operands are bits: the bits that agree less those that do not (XNOR), or those set in both.
#version 450
#extension GL_GOOGLE_include_directive : require
layout(local_size_x = 64) in;
#include "binaryConvolution.glsl"

IMAGE_DESTINATION(2, destination)
layout(set = 0, binding = 4, std430) readonly buffer Bits { uint bits[]; };
layout(set = 0, binding = 6, std430) readonly buffer Betas { float betas[]; };
layout(set = 0, binding = 7, std430) readonly buffer Channels { vec4 channels[]; };
layout(set = 0, binding = 8, std430) readonly buffer Weights { uvec4 weights[]; };
layout(set = 0, binding = 9, std430) readonly buffer Outside { uint outside[]; };
layout(constant_id = 32) const uint type = binaryTypeXnor;
BINARY_FINISH(channels, betas)

void main() {
    uint slices = (p.destination.channels + 3u) / 4u;
    uint tiles = (p.clipWidth + binaryTilePixels - 1u) / binaryTilePixels;
    uint i = gridIndex();
    if (i >= slices * tiles * p.clipHeight * p.images) return;
    Place at = placeOf(i, slices, tiles, p.clipHeight);
    int left = at.x * int(binaryTilePixels);
    ivec4 counts[binaryTilePixels];
    for (uint t = 0u; t < binaryTilePixels; ++t) counts[t] = ivec4(0);
    uint weight = at.slice * uint(p.kernelHeight * p.kernelWidth) * p.words;
    for (int q = 0; q < p.kernelHeight; ++q)
        for (int r = 0; r < p.kernelWidth; ++r) {
            uint pixels[binaryTilePixels];
            for (uint t = 0u; t < binaryTilePixels; ++t)
                pixels[t] = pixelAt(tapX(left + int(t), r), tapY(at.y, q), at.image);
            for (uint word = 0u; word < p.words; ++word, ++weight) {
                uvec4 w = weights[weight];
                for (uint t = 0u; t < binaryTilePixels; ++t) {
                    uint a = pixels[t] == outsidePixel ? outside[word]
                                                       : bits[pixels[t] * p.words + word];
                    counts[t] += bitCount(type == binaryTypeXnor ? uvec4(a) ^ w : uvec4(a) & w);
                }
            }
        }
    int terms = int(p.source.channels) * p.kernelWidth * p.kernelHeight;
    for (int t = 0; t < int(binaryTilePixels); ++t) {
        if (left + t >= int(p.clipWidth)) break;
        uint pixel = (at.image * p.clipHeight + uint(at.y)) * p.clipWidth + uint(left + t);
        vec4 sum = vec4(type == binaryTypeXnor ? terms - 2 * counts[t] : counts[t]);
        destination_store(p.destination, p.clipX + left + t, p.clipY + at.y, at.slice, at.image,
                          finished(sum, at.slice, pixel));
    }
}
