// Rows of a matrix to images: a texel an invocation or, where channels come first, four pixels of
// four channels.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "ImageCopy.h"
layout(local_size_x = 64) in;
#include "matrix.glsl"
#include "pixel.glsl"

layout(set = 0, binding = 0) uniform Parameters { ImageCopyParameters p; };
MATRIX_SOURCE(1, source)
IMAGE_DESTINATION(2, destination)
layout(constant_id = 32) const uint channelsFirst = 0u;

void copyBlock(uint i) {
    uint channels = p.image.channels, slices = (channels + 3u) / 4u, across = (p.pixels + 3u) / 4u;
    uint pixel = i % across * 4u, slice = i / across % slices, image = i / across / slices;
    if (image >= p.images) return;
    uint row = p.firstRow + image, pixels = min(4u, p.pixels - pixel);
    mat4 texels = mat4(0.0);
    for (uint lane = 0u; lane < 4u && 4u * slice + lane < channels; ++lane) {
        uint column = (4u * slice + lane) * p.pixels + pixel;
        if ((p.pixels & 3u) == 0u)
            texels[lane] = source_load4(p.matrix, 0u, row, column);
        else
            for (uint k = 0u; k < pixels; ++k)
                texels[lane][k] = source_load(p.matrix, 0u, row, column + k);
    }
    texels = transpose(texels);
    for (uint k = 0u; k < pixels; ++k)
        destination_store(p.image, int((pixel + k) % p.image.width),
                          int((pixel + k) / p.image.width), slice, image, texels[k]);
}

void main() {
    uint i = gridIndex();
    if (channelsFirst != 0u) {
        copyBlock(i);
        return;
    }
    uint channels = p.image.channels;
    Place at = placeOf(i, (channels + 3u) / 4u, p.image.width, p.image.height);
    if (at.image >= p.images) return;
    uint row = p.firstRow + at.image;
    uint column = (uint(at.y) * p.image.width + uint(at.x)) * channels + 4u * at.slice;
    vec4 value = vec4(0.0);
    if ((channels & 3u) == 0u)
        value = source_load4(p.matrix, 0u, row, column);
    else
        for (uint lane = 0u; lane < 4u && 4u * at.slice + lane < channels; ++lane)
            value[lane] = source_load(p.matrix, 0u, row, column + lane);
    destination_store(p.image, at.x, at.y, at.slice, at.image, value);
}
