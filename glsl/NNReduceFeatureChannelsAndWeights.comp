// y = the sum over the channels of each pixel of x * w, over a divisor or over the number of w that
// are not 0.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "reduce.glsl"

layout(set = 0, binding = 0) uniform Parameters { NNReduceBinaryParameters p; };
IMAGE_SOURCE(1, source)
IMAGE_SOURCE(2, weights)
IMAGE_DESTINATION(3, destination)
layout(constant_id = 32) const uint overNonZeroWeights = 0u;

shared vec2 sums[reduceGroupSize];

void main() {
    uint i = gl_LocalInvocationID.x, part = i % p.parts;
    uint pixel = groupIndex() * (reduceGroupSize / p.parts) + i / p.parts;
    bool works = pixel < p.clipWidth * p.clipHeight * p.images;
    Place at = placeOf(pixel, 1u, p.clipWidth, p.clipHeight);
    vec2 sum = vec2(0.0); // of the products, and the number of weights
    uint slices = (p.primary.channels + 3u) / 4u;
    for (uint slice = works ? part : slices; slice < slices; slice += p.parts) {
        vec4 x = source_load(p.primary, p.primaryX + at.x * p.primaryStrideX,
                             p.primaryY + at.y * p.primaryStrideY, slice, at.image);
        vec4 w = weights_load(p.secondary, p.secondaryX + at.x * p.secondaryStrideX,
                              p.secondaryY + at.y * p.secondaryStrideY, slice, at.image);
        // Where only the weights that are not 0 count, what is infinite elsewhere does not either.
        bvec4 counts = notEqual(w, vec4(0.0));
        vec4 products = overNonZeroWeights != 0u ? mix(vec4(0.0), x * w, counts) : x * w;
        sum += vec2(lanesSum(products), lanesSum(vec4(counts)));
    }
    sums[i] = sum;
    for (uint step = p.parts / 2u; step > 0u; step >>= 1) {
        barrier();
        if (part < step) sums[i] += sums[i + step];
    }
    if (!works || part != 0u) return;
    float divisor = overNonZeroWeights != 0u ? max(sums[i].y, 1.0) : p.divisor;
    destination_store(p.destination, p.clipX + at.x, p.clipY + at.y, 0u, at.image,
                      vec4(sums[i].x / divisor));
}
