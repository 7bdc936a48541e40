// dx = dy * f'(x), where the source may be f(x) instead of x, and dy the sum of two gradients.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "CNNNeuron.h"
layout(local_size_x = 256) in;
#include "neuron.glsl"
#include "pixel.glsl"

layout(set = 0, binding = 0) uniform Parameters { TexelGrid grid; CNNNeuronGradientParameters p; };
IMAGE_SOURCE(1, gradient)
IMAGE_EDGE_READ(gradient)
IMAGE_SOURCE(2, source)
IMAGE_EDGE_READ(source)
IMAGE_DESTINATION(3, destination)
NEURON_SLOPES(4)
IMAGE_SOURCE(5, added)
IMAGE_EDGE_READ(added)
layout(constant_id = 32) const uint type = 0u; // CNNNeuronType
layout(constant_id = 33) const uint readsResult = 0u;
layout(constant_id = 34) const uint addsGradients = 0u;

void main() {
    uint i = gridIndex();
    if (i >= texelCount(grid)) return;
    Place at = placeOf(grid, i);
    int x0 = p.gradientOffsetX + at.x, y0 = p.gradientOffsetY + at.y;
    vec4 g[2] = gradient_readTexels(p.gradient, x0, y0, at.slice, at.image, 0u), more[2];
    if (addsGradients != 0u) more = added_readTexels(p.added, x0, y0, at.slice, at.image, 0u);
    vec4 x[2] = source_readTexels(p.source, p.sourceOffsetX + at.x, p.sourceOffsetY + at.y, at.slice,
                                  at.image, 0u);
    EACH_TEXEL(k) {
        if (addsGradients != 0u && inside(p.gradient, x0, y0)) g[k] += more[k];
        vec4 a = slopesOf(type, p.a, at.slice + k, p.source.channels);
        g[k] *= readsResult != 0u ? neuronDerivativeFromResult(type, x[k], a, vec4(p.b))
                                  : neuronDerivative(type, x[k], a, vec4(p.b), vec4(p.c));
    }
    destination_storeTexels(p.destination, p.clipX + at.x, p.clipY + at.y, at.slice, at.image, g);
}
