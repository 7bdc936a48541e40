// y = f(x).
#version 450
#extension GL_GOOGLE_include_directive : require
#include "CNNNeuron.h"
layout(local_size_x = 256) in;
#include "neuron.glsl"
#include "pixel.glsl"

layout(set = 0, binding = 0) uniform Parameters { TexelGrid grid; CNNNeuronParameters p; };
IMAGE_SOURCE(1, source)
IMAGE_EDGE_READ(source)
IMAGE_DESTINATION(2, destination)
NEURON_SLOPES(3)
layout(constant_id = 32) const uint type = 0u; // CNNNeuronType

void main() {
    uint i = gridIndex();
    if (i >= texelCount(grid)) return;
    Place at = placeOf(grid, i);
    vec4 x[2] = source_readTexels(p.source, p.offsetX + at.x, p.offsetY + at.y, at.slice, at.image,
                                  p.clampEdges);
    EACH_TEXEL(k) {
        vec4 a = slopesOf(type, p.a, at.slice + k, p.source.channels);
        x[k] = neuronForward(type, x[k], a, vec4(p.b), vec4(p.c));
    }
    destination_storeTexels(p.destination, p.clipX + at.x, p.clipY + at.y, at.slice, at.image, x);
}
