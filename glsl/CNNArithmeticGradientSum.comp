// The second pass of a long sum: adds the parts in their order.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "CNNMath.h"
#include "pixel.glsl"

layout(local_size_x = 256) in;
layout(set = 0, binding = 0) uniform Parameters { TexelGrid grid; CNNArithmeticGradientSumParameters p; };
layout(set = 0, binding = 1, std430) readonly buffer Partials { vec4 partials[]; };
IMAGE_DESTINATION(2, destination)

void main() {
    uint i = gridIndex();
    if (i >= texelCount(grid)) return;
    Place at = placeOf(grid, i);
    vec4 sum = vec4(0.0);
    for (uint part = 0u; part < p.parts; ++part) sum += partials[i * p.parts + part];
    if (p.reducesChannels != 0u) sum = vec4(sum.x + sum.y + sum.z + sum.w, 0.0, 0.0, 0.0);
    destination_store(p.destination, p.clipX + at.x, p.clipY + at.y, at.slice, at.image, sum);
}
