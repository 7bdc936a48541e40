// Two operands become one, with a neuron after it or none, or the answer to a comparison.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "CNNMath.h"
layout(local_size_x = 256) in;
#include "neuron.glsl"
#include "pixel.glsl"

layout(set = 0, binding = 0) uniform Parameters { TexelGrid grid; CNNArithmeticParameters p; };
IMAGE_SOURCE(1, primary)
IMAGE_EDGE_READ(primary)
IMAGE_SOURCE(2, secondary)
IMAGE_EDGE_READ(secondary)
IMAGE_DESTINATION(3, destination)
layout(set = 0, binding = 4, std430) writeonly buffer Mask { uint mask[]; };
NEURON_SLOPES(5)
layout(constant_id = 32) const uint neuron = 0u; // CNNNeuronType

bvec4 compared(vec4 x, vec4 y) {
    switch (p.comparison) {
    case 0u: return lessThanEqual(abs(x - y), vec4(p.threshold));
    case 1u: return not(lessThanEqual(abs(x - y), vec4(p.threshold)));
    case 2u: return lessThan(x, y);
    case 3u: return lessThanEqual(x, y);
    case 4u: return greaterThan(x, y);
    }
    return greaterThanEqual(x, y);
}

vec4 combined(vec4 x, vec4 y) {
    x *= p.primaryScale;
    y *= p.secondaryScale;
    switch (p.operation) {
    case arithmeticAdd: return x + y + p.bias;
    case arithmeticSubtract: return x - y + p.bias;
    case arithmeticMultiply: return x * y + p.bias;
    }
    return x / y + p.bias;
}

void writeMask(Place at, uint slice, uint slices, vec4 result) {
    bvec4 above = greaterThan(result, vec4(p.minimum)), below = lessThan(result, vec4(p.maximum));
    uint bits = 0u;
    for (uint lane = 0u; lane < 4u; ++lane)
        if (above[lane] && below[lane]) bits |= 1u << lane;
    uint pixel = uint(at.y) * p.clipWidth + uint(at.x);
    mask[at.image * p.maskStride + pixel * slices + slice] = bits;
}

void main() {
    uint slices = (p.destination.channels + 3u) / 4u;
    uint i = gridIndex();
    if (i >= texelCount(grid)) return;
    Place at = placeOf(grid, i);
    // Of an operand with one channel for all an invocation has one texel.
    vec4 x[2] = primary_readTexels(p.primary, p.primaryOffsetX + p.primaryStrideX * at.x,
                                   p.primaryOffsetY + p.primaryStrideY * at.y,
                                   p.primaryStrideChannels != 0u ? at.slice : 0u, at.image,
                                   p.primaryClampEdges);
    vec4 y[2] = secondary_readTexels(p.secondary, p.secondaryOffsetX + p.secondaryStrideX * at.x,
                                     p.secondaryOffsetY + p.secondaryStrideY * at.y,
                                     p.secondaryStrideChannels != 0u ? at.slice : 0u, at.image,
                                     p.secondaryClampEdges);
    if (p.primaryStrideChannels == 0u) x[0] = x[0].xxxx;
    if (p.secondaryStrideChannels == 0u) y[0] = y[0].xxxx;
    EACH_TEXEL(k) {
        if (p.operation == arithmeticCompare) {
            x[k] = mix(vec4(0.0), vec4(1.0), compared(x[k], y[k]));
        } else {
            vec4 result = combined(x[k], y[k]);
            if (p.writesMask != 0u) writeMask(at, at.slice + k, slices, result);
            if (p.clamps != 0u)
                result = mix(min(max(result, p.minimum), p.maximum), result, isnan(result));
            vec4 a = slopesOf(neuron, p.neuronA, at.slice + k, p.destination.channels);
            x[k] = neuronForward(neuron, result, a, vec4(p.neuronB), vec4(p.neuronC));
        }
    }
    destination_storeTexels(p.destination, p.clipX + at.x, p.clipY + at.y, at.slice, at.image, x);
}
