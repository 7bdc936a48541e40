// The second pass of a long sum: adds the parts in their order.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "CNNMath.h"
layout(local_size_x = 64) in;
#include "pixel.glsl"

layout(set = 0, binding = 0) uniform Parameters { TexelGrid grid; CNNArithmeticGradientSumParameters p; };
layout(set = 0, binding = 1, std430) readonly buffer Partials { vec4 partials[]; };
IMAGE_DESTINATION(2, destination)

const uint ahead = 16u; // reads under way at once

void main() {
    uint i = gridIndex();
    if (i >= texelCount(grid)) return;
    Place at = placeOf(grid, i);
    vec4 sum = vec4(0.0);
    for (uint first = 0u; first < p.parts; first += ahead) {
        vec4 parts[ahead];
        [[unroll]] for (uint k = 0u; k < ahead; ++k)
            parts[k] = partials[i * p.parts + min(first + k, p.parts - 1u)];
        [[unroll]] for (uint k = 0u; k < ahead; ++k)
            if (first + k < p.parts) sum += parts[k];
    }
    if (p.reducesChannels != 0u) sum = vec4(sum.x + sum.y + sum.z + sum.w, 0.0, 0.0, 0.0);
    destination_store(p.destination, p.clipX + at.x, p.clipY + at.y, at.slice, at.image, sum);
}
