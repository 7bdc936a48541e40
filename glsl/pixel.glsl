// The place of an invocation in a linear grid over [image][y][x][slice] of a clip rectangle, and
// reads that respect a source's edges.
#ifndef MPSVK_PIXEL_GLSL
#define MPSVK_PIXEL_GLSL

#include "grid.glsl"
#include "grid.h"
#include "image.glsl"

struct Place {
    uint slice;
    int x, y; // counted from the clip rectangle's origin
    uint image;
};

// `index` must be below slices * width * height * images.
Place placeOf(uint index, uint slices, uint width, uint height) {
    Place place;
    place.slice = index % slices;
    index /= slices;
    place.x = int(index % width);
    index /= width;
    place.y = int(index % height);
    place.image = index / height;
    return place;
}

// The same without a division: the place of an index below texelCount(grid). Its slice is the first
// of the `texels` that the invocation has.
Place placeOf(TexelGrid grid, uint index) {
    uint pixel = quotient(index, grid.slicesFactor, grid.shifts & 255u);
    uint row = quotient(pixel, grid.widthFactor, grid.shifts >> 8 & 255u);
    Place place;
    place.slice = (index - pixel * grid.slices) * texels;
    place.x = int(pixel - row * grid.width);
    place.image = quotient(row, grid.heightFactor, grid.shifts >> 16);
    place.y = int(row - place.image * grid.height);
    return place;
}

bool inside(ImageView v, int x, int y) {
    return x >= 0 && y >= 0 && x < int(v.width) && y < int(v.height);
}

// 1: all pixels that are read lie inside their views.
layout(constant_id = 29) const uint readsInside = 0u;

// Declares `vec4 N_read(v, x, y, slice, image, clampEdges)`: a pixel outside is the nearest one, or
// zero. It reads the nearest one anyhow: a branch around a read costs more.
#define IMAGE_EDGE_READ(N)                                                                         \
    vec4 N##_read(ImageView v, int x, int y, uint slice, uint image, uint clampEdges) {            \
        if (readsInside != 0u) return N##_load(v, x, y, slice, image);                             \
        bool counts = clampEdges != 0u || inside(v, x, y);                                         \
        x = clamp(x, 0, int(v.width) - 1);                                                         \
        y = clamp(y, 0, int(v.height) - 1);                                                        \
        vec4 value = N##_load(v, x, y, slice, image);                                              \
        return mix(vec4(0.0), value, bvec4(counts));                                               \
    }                                                                                              \
    vec4[2] N##_readTexels(ImageView v, int x, int y, uint slice, uint image, uint clampEdges) {   \
        if (readsInside != 0u) return N##_loadTexels(v, x, y, slice, image);                       \
        bool counts = clampEdges != 0u || inside(v, x, y);                                         \
        x = clamp(x, 0, int(v.width) - 1);                                                         \
        y = clamp(y, 0, int(v.height) - 1);                                                        \
        vec4 values[2] = N##_loadTexels(v, x, y, slice, image);                                    \
        EACH_TEXEL(k) values[k] = mix(vec4(0.0), values[k], bvec4(counts));                        \
        return values;                                                                             \
    }

// Declares `vec4 N_channels(v, x, y, channel, image)`: four channels from any one on, counted from
// the view's first, which may be any channel of its image. `channel` must be below v.channels.
#define IMAGE_CHANNELS_READ(N)                                                                     \
    vec4 N##_channels(ImageView v, int x, int y, uint channel, uint image) {                       \
        uint first = (v.channelOffset & 3u) + channel;                                             \
        uint slice = first >> 2, shift = first & 3u;                                               \
        v.channels += v.channelOffset & 3u;                                                        \
        vec4 low = N##_load(v, x, y, slice, image);                                                \
        if (shift == 0u) return low;                                                               \
        vec4 high = vec4(0.0);                                                                     \
        if (slice * 4u + 4u < v.channels) high = N##_load(v, x, y, slice + 1u, image);             \
        return shift == 1u   ? vec4(low.yzw, high.x)                                               \
               : shift == 2u ? vec4(low.zw, high.xy)                                               \
                             : vec4(low.w, high.xyz);                                              \
    }

#endif
