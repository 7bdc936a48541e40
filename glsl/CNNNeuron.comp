// y = f(x).
#version 450
#extension GL_GOOGLE_include_directive : require
#include "CNNNeuron.h"
#include "neuron.glsl"
#include "pixel.glsl"

layout(local_size_x = 256) in;
layout(set = 0, binding = 0) uniform Parameters { CNNNeuronParameters p; };
IMAGE_SOURCE(1, source)
IMAGE_EDGE_READ(source)
IMAGE_DESTINATION(2, destination)
layout(set = 0, binding = 3, std430) readonly buffer Slopes { float slopes[]; };
layout(constant_id = 32) const uint type = 0u; // CNNNeuronType

void main() {
    uint slices = (p.destination.channels + 3u) / 4u;
    uint i = gridIndex();
    if (i >= slices * p.clipWidth * p.clipHeight * p.images) return;
    Place at = placeOf(i, slices, p.clipWidth, p.clipHeight);
    vec4 x = source_read(p.source, p.offsetX + at.x, p.offsetY + at.y, at.slice, at.image, p.clampEdges);
    vec4 a = vec4(p.a);
    if (type == neuronPReLU) {
        for (uint lane = 0u; lane < 4u; ++lane)
            a[lane] = slopes[min(at.slice * 4u + lane, p.source.channels - 1u)];
    }
    destination_store(p.destination, p.clipX + at.x, p.clipY + at.y, at.slice, at.image,
                      neuronForward(type, x, a, vec4(p.b), vec4(p.c)));
}
