// Images to rows of a matrix: four elements of a row an invocation or, where channels come first
// and four pixels never straddle two of them, four pixels of four channels.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "ImageCopy.h"
layout(local_size_x = 64) in;
#include "matrix.glsl"
#include "pixel.glsl"

layout(set = 0, binding = 0) uniform Parameters { ImageCopyParameters p; };
IMAGE_SOURCE(1, source)
MATRIX_DESTINATION(2, destination)
layout(constant_id = 32) const uint channelsFirst = 0u;
layout(constant_id = 33) const uint blocks = 0u;

vec4 texelOf(uint pixel, uint slice, uint image) {
    uint width = p.image.width;
    return source_load(p.image, int(pixel % width), int(pixel / width), slice, image);
}

void copyBlock(uint i) {
    uint channels = p.image.channels, slices = (channels + 3u) / 4u, across = p.pixels / 4u;
    uint pixel = i % across * 4u, slice = i / across % slices, image = i / across / slices;
    if (image >= p.images) return;
    mat4 texels;
    for (uint k = 0u; k < 4u; ++k) texels[k] = texelOf(pixel + k, slice, image);
    texels = transpose(texels);
    for (uint lane = 0u; lane < 4u && 4u * slice + lane < channels; ++lane)
        destination_store4(p.matrix, 0u, p.firstRow + image,
                           (4u * slice + lane) * p.pixels + pixel, texels[lane]);
}

void main() {
    uint i = gridIndex();
    if (blocks != 0u) {
        copyBlock(i);
        return;
    }
    uint channels = p.image.channels, across = (p.matrix.columns + 3u) / 4u;
    uint first = i % across * 4u, image = i / across;
    if (image >= p.images) return;
    vec4 values = vec4(0.0);
    if (channelsFirst == 0u && (channels & 3u) == 0u) {
        values = texelOf(first / channels, first % channels / 4u, image);
    } else {
        for (uint lane = 0u; lane < 4u && first + lane < p.matrix.columns; ++lane) {
            uint e = first + lane;
            uint pixel = channelsFirst != 0u ? e % p.pixels : e / channels;
            uint channel = channelsFirst != 0u ? e / p.pixels : e % channels;
            values[lane] = texelOf(pixel, channel >> 2, image)[channel & 3u];
        }
    }
    destination_store4(p.matrix, 0u, p.firstRow + image, first, values);
}
