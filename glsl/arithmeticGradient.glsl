// One summand of an arithmetic gradient: the gradient of a result, times the other operand of a product.
#ifndef MPSVK_ARITHMETICGRADIENT_GLSL
#define MPSVK_ARITHMETICGRADIENT_GLSL

#include "CNNMath.h"
#include "pixel.glsl"

layout(set = 0, binding = 0) uniform Parameters { CNNArithmeticGradientParameters p; };
IMAGE_SOURCE(1, gradient)
IMAGE_SOURCE(2, secondary)
IMAGE_EDGE_READ(secondary)
layout(set = 0, binding = 4, std430) readonly buffer Mask { uint mask[]; };
layout(set = 0, binding = 5, std430) writeonly buffer Partials { vec4 partials[]; };

// 1: of a sum or a difference without bounds.
layout(constant_id = 32) const uint plain = 0u;

// Of the gradient `g` that was read there.
vec4 summand(vec4 g, int x, int y, uint slice, uint image) {
    vec4 value = p.scale * g;
    if (plain != 0u) return value;
    if (p.multiplies != 0u) {
        vec4 other = secondary_read(p.secondary,
                                    p.secondaryOffsetX + p.secondaryStrideX * (x - p.gradientOffsetX),
                                    p.secondaryOffsetY + p.secondaryStrideY * (y - p.gradientOffsetY),
                                    p.secondaryStrideChannels != 0u ? slice : 0u, image,
                                    p.secondaryClampEdges);
        // Lanes that are no channels may have had zeros times no numbers.
        value = usedLanes(p.gradient, slice, value * (p.secondaryStrideChannels != 0u ? other : other.xxxx));
    }
    if (p.readsMask != 0u) {
        uint pixel = uint(y - p.beginY) * p.sizeX + uint(x - p.beginX);
        uint slices = (p.gradient.channels + 3u) / 4u;
        uint bits = mask[image * p.maskStride + pixel * slices + slice];
        uvec4 used = (uvec4(bits) >> uvec4(0u, 1u, 2u, 3u)) & 1u;
        value = mix(vec4(0.0), value, notEqual(used, uvec4(0u)));
    }
    return value;
}

#endif
