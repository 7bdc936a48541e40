// u = (x + bias) * scale: of 32 channels of a pixel the bits that say u >= 0, and the sum of |u|.
#version 450
#extension GL_GOOGLE_include_directive : require
layout(local_size_x = 64) in;
#include "binaryConvolution.glsl"

IMAGE_SOURCE(1, source)
layout(set = 0, binding = 3, std430) readonly buffer Inputs { vec4 inputs[]; }; // biases, scales
layout(set = 0, binding = 4, std430) writeonly buffer Bits { uint bits[]; };
layout(set = 0, binding = 5, std430) writeonly buffer Magnitudes { float magnitudes[]; };
layout(constant_id = 32) const uint writesBits = 1u;

void main() {
    uint i = gridIndex();
    if (i >= p.words * p.source.width * p.source.height * p.images) return;
    Place at = placeOf(i, p.words, p.source.width, p.source.height); // a slice is a word here
    uint slices = (p.source.channels + 3u) / 4u, word = 0u;
    float magnitude = 0.0;
    for (uint k = 0u; k < 8u; ++k) {
        uint slice = at.slice * 8u + k;
        if (slice >= slices) break;
        vec4 u = (source_load(p.source, at.x, at.y, slice, at.image) + inputs[slice]) *
                 inputs[slices + slice];
        uvec4 channel = slice * 4u + uvec4(0u, 1u, 2u, 3u);
        bvec4 negative = lessThan(u, vec4(0.0));
        uvec4 set = uvec4(lessThan(channel, uvec4(p.source.channels))) & uvec4(not(negative));
        word |= (set.x | set.y << 1 | set.z << 2 | set.w << 3) << (4u * k);
        u = abs(u); // 0 in lanes that are no channels: their scale is
        magnitude += ((u.x + u.y) + u.z) + u.w;
    }
    if (writesBits != 0u) bits[i] = word;
    if (scalesByBeta != 0u) magnitudes[i] = magnitude;
}
