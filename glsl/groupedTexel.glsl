// One texel of each pixel as a view of its own. Of images without padding lanes (WHOLE_TEXELS) what
// is read needs no masking, which would part loads that are to be in flight together.
layout(constant_id = 42) const bool WHOLE_TEXELS = false;

ImageView texelView(ImageView v, uint slice) {
    slice = min(slice, (v.channels - 1u) / 4u);
    v.offset += slice;
    v.channels = WHOLE_TEXELS ? 4u : v.channels - slice * 4u;
    return v;
}

// Declares `uvec4 N_raw(v, x, y, image, clampEdges)`: the texel of such a view as it is in memory. One
// outside is the nearest, or zero; then nothing is read: a mask would wait for what is read, and so would a
// branch around all of a row. Halves become numbers, by `vec4 N_value(v, raw)`, when they are needed.
#define GROUPED_SOURCE(N)                                                                          \
    uvec4 N##_raw(ImageView v, int x, int y, uint image, uint clampEdges) {                        \
        int column = clampIndex(x, int(v.width)), row = clampIndex(y, int(v.height));              \
        uvec4 raw = uvec4(0u);                                                                     \
        if (clampEdges != 0u || (row == y && column == x)) {                                       \
            if (N##_storage == STORAGE_FLOAT16)                                                    \
                raw.xy = N##_float16[texelIndex(v, column, row, 0u, image)];                       \
            else                                                                                   \
                raw = floatBitsToUint(N##_load(v, column, row, 0u, image));                        \
        }                                                                                          \
        return raw;                                                                                \
    }                                                                                              \
    vec4 N##_value(ImageView v, uvec4 raw) {                                                       \
        if (N##_storage == STORAGE_FLOAT16) return usedLanes(v, 0u, unpackHalf4(raw.xy));          \
        return uintBitsToFloat(raw);                                                               \
    }
