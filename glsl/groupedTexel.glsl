// One texel of each pixel as a view of its own. Of images without padding lanes (WHOLE_TEXELS) what
// is read needs no masking, which would part loads that are to be in flight together.
layout(constant_id = 42) const bool WHOLE_TEXELS = false;

ImageView texelView(ImageView v, uint slice) {
    slice = min(slice, (v.channels - 1u) / 4u);
    v.offset += slice;
    v.channels = WHOLE_TEXELS ? 4u : v.channels - slice * 4u;
    return v;
}
