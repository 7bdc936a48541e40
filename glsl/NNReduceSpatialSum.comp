// The chunks of NNReduceSpatial summed, in their order.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "NNReduce.h"
layout(local_size_x = 64) in;
#include "pixel.glsl"

layout(set = 0, binding = 0) uniform Parameters { NNReduceSpatialParameters p; };
IMAGE_DESTINATION(2, destination)
layout(set = 0, binding = 3, std430) readonly buffer Chunks { vec4 chunks[]; };

void main() {
    uint i = gridIndex();
    if (i >= p.laneCount * p.images) return;
    uint slice = i % p.laneCount, image = i / p.laneCount;
    vec4 sum = vec4(0.0);
    for (uint chunk = 0u; chunk < p.chunks; ++chunk)
        sum += chunks[(image * p.chunks + chunk) * p.laneCount + slice];
    destination_store(p.destination, p.clipX, p.clipY, slice, image, sum / p.divisor);
}
