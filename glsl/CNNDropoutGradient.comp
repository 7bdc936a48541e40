// dx = dy / p where the forward pass kept x, else 0.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "CNNDropout.h"
#include "pixel.glsl"

layout(local_size_x = 256) in;
layout(set = 0, binding = 0) uniform Parameters { CNNDropoutGradientParameters p; };
IMAGE_SOURCE(1, gradient)
IMAGE_EDGE_READ(gradient)
IMAGE_DESTINATION(3, destination)
layout(set = 0, binding = 4, std430) readonly buffer Mask { uint mask[]; };

void main() {
    uint slices = (p.destination.channels + 3u) / 4u;
    uint i = gridIndex();
    if (i >= slices * p.clipWidth * p.clipHeight * p.images) return;
    Place at = placeOf(i, slices, p.clipWidth, p.clipHeight);
    int row = int(p.perRow) * (p.maskOffsetY + at.y), column = int(p.perColumn) * (p.maskOffsetX + at.x);
    uint slice = p.perChannel * at.slice;
    uvec4 keep = uvec4(0u);
    if (row >= 0 && row < int(p.maskHeight) && column >= 0 && column < int(p.maskWidth) &&
        slice < p.maskSlices) {
        uint packed = mask[at.image * p.maskStride +
                           (uint(row) * p.maskWidth + uint(column)) * p.maskSlices + slice];
        keep = uvec4(packed, packed >> 8, packed >> 16, packed >> 24) & 255u;
    }
    vec4 g = gradient_read(p.gradient, p.gradientOffsetX + at.x, p.gradientOffsetY + at.y, at.slice,
                           at.image, 0u);
    destination_store(p.destination, p.clipX + at.x, p.clipY + at.y, at.slice, at.image,
                      mix(vec4(0.0), g / p.keepProbability, bvec4(keep)));
}
