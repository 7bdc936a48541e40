// dx = dy / p where the forward pass kept x, else 0; times the derivative of a neuron that made x.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "CNNDropout.h"
layout(local_size_x = 256) in;
#include "neuron.glsl"
#include "pixel.glsl"

layout(set = 0, binding = 0) uniform Parameters { TexelGrid grid; CNNDropoutGradientParameters p; };
IMAGE_SOURCE(1, gradient)
IMAGE_EDGE_READ(gradient)
IMAGE_SOURCE(2, source)
IMAGE_EDGE_READ(source)
IMAGE_DESTINATION(3, destination)
layout(set = 0, binding = 4, std430) readonly buffer Mask { uint mask[]; };
NEURON_SLOPES(5)
layout(constant_id = 32) const uint neuron = 0u; // CNNNeuronType
layout(constant_id = 33) const uint readsResult = 0u;

void main() {
    uint i = gridIndex();
    if (i >= texelCount(grid)) return;
    Place at = placeOf(grid, i);
    int row = int(p.perRow) * (p.maskOffsetY + at.y), column = int(p.perColumn) * (p.maskOffsetX + at.x);
    bool inMask = row >= 0 && row < int(p.maskHeight) && column >= 0 && column < int(p.maskWidth);
    uint pixel = at.image * p.maskStride + (uint(row) * p.maskWidth + uint(column)) * p.maskSlices;
    vec4 g[2] = gradient_readTexels(p.gradient, p.gradientOffsetX + at.x, p.gradientOffsetY + at.y, at.slice,
                                    at.image, 0u);
    EACH_TEXEL(k) {
        uint slice = p.perChannel * (at.slice + k);
        uint packed = inMask && slice < p.maskSlices ? mask[pixel + slice] : 0u;
        uvec4 keep = uvec4(packed, packed >> 8, packed >> 16, packed >> 24) & 255u;
        g[k] = mix(vec4(0.0), g[k] / p.keepProbability, bvec4(keep));
    }
    if (neuron != neuronNone) {
        vec4 x[2] = source_readTexels(p.source, p.clipX + at.x, p.clipY + at.y, at.slice, at.image, 0u);
        EACH_TEXEL(k) {
            vec4 a = slopesOf(neuron, p.neuronA, at.slice + k, p.source.channels), b = vec4(p.neuronB);
            g[k] *= readsResult != 0u ? neuronDerivativeFromResult(neuron, x[k], a, b)
                                      : neuronDerivative(neuron, x[k], a, b, vec4(p.neuronC));
        }
    }
    destination_storeTexels(p.destination, p.clipX + at.x, p.clipY + at.y, at.slice, at.image, g);
}
