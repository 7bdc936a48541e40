// Texel access: a kernel is written once, in pixels, slices of four channels and images, and runs
// on storage buffers and on textures, in fp32, fp16 and unorm8.
//
//   IMAGE_SOURCE(1, source)           vec4 source_load(ImageView v, int x, int y, uint slice, uint image)
//   IMAGE_DESTINATION(2, destination) void destination_store(ImageView v, int x, int y, uint slice, uint image, vec4 value)
//   vec4[2] source_loadTexels(...), void destination_storeTexels(..., vec4 values[2]): the `texels` from
//   a slice on.
//   vec4 source_at(uint texel), void destination_put(uint texel, vec4 value): of a buffer, with all lanes.
//
// `slice` counts from the view's first channel in use. Lanes beyond the view's channels read as
// zero and are written as zero. Coordinates are the caller's to check. The storage of the operand
// at binding b is specialization constant b; its texture, if it is one, is at binding 32 + b.
#ifndef MPSVK_IMAGE_GLSL
#define MPSVK_IMAGE_GLSL

#extension GL_EXT_control_flow_attributes : require
#include "types.h"

#define STORAGE_FLOAT32 0u
#define STORAGE_FLOAT16 1u
#define STORAGE_UNORM8 2u
#define STORAGE_TEXTURE 3u

uint texelIndex(ImageView v, int x, int y, uint slice, uint image) {
    return v.offset + image * v.imageStride + (uint(y) * v.width + uint(x)) * v.slices + slice;
}

// 1: the channels of all views are multiples of four, so that no lane needs to be cleared.
layout(constant_id = 30) const uint wholeTexels = 0u;

// Zero in the lanes that are no channels of the view.
vec4 usedLanes(ImageView v, uint slice, vec4 value) {
    if (wholeTexels != 0u || slice * 4u + 4u <= v.channels) return value;
    uvec4 channel = slice * 4u + uvec4(0u, 1u, 2u, 3u);
    return mix(vec4(0.0), value, lessThan(channel, uvec4(v.channels)));
}

// Neighbouring texels of a pixel that an invocation has: 2 where the images lie in buffers so that pairs
// of fp16 texels are at multiples of 16 bytes, which halves what it takes to find them.
layout(constant_id = 31) const uint texels = 1u;
// Unrolled: what is indexed by it must end up in registers.
#define EACH_TEXEL(K) [[unroll]] for (uint K = 0u; K < texels; ++K)

uvec2 packHalf4(vec4 v) { return uvec2(packHalf2x16(v.xy), packHalf2x16(v.zw)); }
vec4 unpackHalf4(uvec2 v) { return vec4(unpackHalf2x16(v.x), unpackHalf2x16(v.y)); }

#define IMAGE_BUFFER_VIEWS(B, N, ACCESS)                                                           \
    layout(constant_id = B) const uint N##_storage = STORAGE_FLOAT32;                              \
    layout(set = 0, binding = B, std430) ACCESS buffer N##_Float32 { vec4 N##_float32[]; };        \
    layout(set = 0, binding = B, std430) ACCESS buffer N##_Float16 { uvec2 N##_float16[]; };       \
    layout(set = 0, binding = B, std430) ACCESS buffer N##_Float16Pair { uvec4 N##_float16Pair[]; };   \
    layout(set = 0, binding = B, std430) ACCESS buffer N##_Unorm8 { uint N##_unorm8[]; };

#ifdef MPSVK_TEXTURES
#define IMAGE_SOURCE_TEXTURE(B, N)                                                                 \
    layout(set = 0, binding = 32 + B) uniform sampler2DArray N##_texture;
#define IMAGE_LOAD_TEXTURE(N)                                                                      \
    if (N##_storage == STORAGE_TEXTURE) {                                                          \
        int layer = int(v.offset + image * v.imageStride + slice);                                 \
        return usedLanes(v, slice, texelFetch(N##_texture, ivec3(x, y, layer), 0));                \
    }
#define IMAGE_DESTINATION_TEXTURE(B, N)                                                            \
    layout(set = 0, binding = 32 + B) writeonly uniform image2DArray N##_texture;
#define IMAGE_STORE_TEXTURE(N)                                                                     \
    if (N##_storage == STORAGE_TEXTURE) {                                                          \
        int layer = int(v.offset + image * v.imageStride + slice);                                 \
        imageStore(N##_texture, ivec3(x, y, layer), value);                                        \
        return;                                                                                    \
    }
#else
#define IMAGE_SOURCE_TEXTURE(B, N)
#define IMAGE_LOAD_TEXTURE(N)
#define IMAGE_DESTINATION_TEXTURE(B, N)
#define IMAGE_STORE_TEXTURE(N)
#endif

#define IMAGE_SOURCE(B, N)                                                                         \
    IMAGE_BUFFER_VIEWS(B, N, readonly)                                                             \
    IMAGE_SOURCE_TEXTURE(B, N)                                                                     \
    vec4 N##_at(uint at) {                                                                         \
        vec4 value;                                                                                \
        if (N##_storage == STORAGE_FLOAT16) value = unpackHalf4(N##_float16[at]);                  \
        else if (N##_storage == STORAGE_UNORM8) value = unpackUnorm4x8(N##_unorm8[at]);            \
        else value = N##_float32[at];                                                              \
        return value;                                                                              \
    }                                                                                              \
    vec4 N##_load(ImageView v, int x, int y, uint slice, uint image) {                             \
        IMAGE_LOAD_TEXTURE(N)                                                                      \
        return usedLanes(v, slice, N##_at(texelIndex(v, x, y, slice, image)));                     \
    }                                                                                              \
    vec4[2] N##_loadTexels(ImageView v, int x, int y, uint slice, uint image) {                    \
        if (texels == 1u) return vec4[2](N##_load(v, x, y, slice, image), vec4(0.0));              \
        uint at = texelIndex(v, x, y, slice, image);                                               \
        uvec4 pair = N##_float16Pair[at >> 1];                                                     \
        return vec4[2](usedLanes(v, slice, unpackHalf4(pair.xy)),                                  \
                       usedLanes(v, slice + 1u, unpackHalf4(pair.zw)));                            \
    }

#define IMAGE_DESTINATION(B, N)                                                                    \
    IMAGE_BUFFER_VIEWS(B, N, writeonly)                                                            \
    IMAGE_DESTINATION_TEXTURE(B, N)                                                                \
    void N##_put(uint at, vec4 value) {                                                            \
        if (N##_storage == STORAGE_FLOAT16) N##_float16[at] = packHalf4(value);                    \
        else if (N##_storage == STORAGE_UNORM8) N##_unorm8[at] = packUnorm4x8(value);              \
        else N##_float32[at] = value;                                                              \
    }                                                                                              \
    void N##_store(ImageView v, int x, int y, uint slice, uint image, vec4 value) {                \
        value = usedLanes(v, slice, value);                                                        \
        IMAGE_STORE_TEXTURE(N)                                                                     \
        N##_put(texelIndex(v, x, y, slice, image), value);                                         \
    }                                                                                              \
    void N##_storeTexels(ImageView v, int x, int y, uint slice, uint image, vec4 values[2]) {      \
        if (texels == 1u) {                                                                        \
            N##_store(v, x, y, slice, image, values[0]);                                           \
            return;                                                                                \
        }                                                                                          \
        values[0] = usedLanes(v, slice, values[0]);                                                \
        values[1] = usedLanes(v, slice + 1u, values[1]);                                           \
        uint at = texelIndex(v, x, y, slice, image);                                               \
        N##_float16Pair[at >> 1] = uvec4(packHalf4(values[0]), packHalf4(values[1]));              \
    }

#endif
