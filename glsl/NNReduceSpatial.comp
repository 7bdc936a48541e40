// y = the smallest, the largest or the sum (over a divisor) of the pixels of a row, a column or a
// rectangle, channel by channel; or such a result of a part of them, for NNReduceSpatialSum.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "reduce.glsl"

layout(set = 0, binding = 0) uniform Parameters { NNReduceSpatialParameters p; };
IMAGE_SOURCE(1, source)
IMAGE_DESTINATION(2, destination)
layout(set = 0, binding = 3, std430) writeonly buffer Chunks { vec4 chunks[]; };
layout(constant_id = 32) const uint operation = reduceSum;
layout(constant_id = 33) const uint inChunks = 0u;

shared vec4 partial[reduceGroupSize];

vec4 combined(vec4 a, vec4 b) {
    if (operation == reduceSum) return a + b;
    bvec4 better = operation == reduceMinimum ? lessThan(b, a) : greaterThan(b, a);
    return mix(a, b, both(not(isNotNumber(b)), either(isNotNumber(a), better)));
}

void main() {
    uint group = groupIndex();
    uint tiles = (p.laneCount + p.lanes - 1u) / p.lanes;
    uint tile = group % tiles;
    group /= tiles;
    uint chunk = group % p.chunks;
    group /= p.chunks;

    uint i = gl_LocalInvocationID.x;
    uint lane = tile * p.lanes + i % p.lanes;
    uint part = i / p.lanes % p.parts;
    uint line = group * (reduceGroupSize / (p.lanes * p.parts)) + i / (p.lanes * p.parts);
    uint image = line / p.lineCount;
    int row = int(line % p.lineCount);
    bool works = lane < p.laneCount && image < p.images;

    vec4 result = operation == reduceSum ? vec4(0.0) : uintBitsToFloat(uvec4(notNumber));
    uint slices = (p.source.channels + 3u) / 4u;
    uint slice = lane % slices;
    int column = int(lane / slices);
    if (works) {
        uint k = chunk * p.chunk + part, end = min(p.count, (chunk + 1u) * p.chunk);
        uint x = k % p.reducedWidth, y = k / p.reducedWidth;
        for (; k < end; k += p.parts) {
            result = combined(result, source_load(p.source, p.sourceX + column + int(x),
                                                  p.sourceY + row + int(y), slice, image));
            x += p.stepX;
            y += p.stepY;
            if (x >= p.reducedWidth) {
                x -= p.reducedWidth;
                ++y;
            }
        }
    }

    partial[i] = result;
    for (uint step = p.parts / 2u; step > 0u; step >>= 1) {
        barrier();
        if (part < step) partial[i] = combined(partial[i], partial[i + step * p.lanes]);
    }
    if (!works || part != 0u) return;
    if (inChunks != 0u)
        chunks[(image * p.chunks + chunk) * p.laneCount + lane] = partial[i];
    else
        destination_store(p.destination, p.clipX + column, p.clipY + row, slice, image,
                          operation == reduceSum ? partial[i] / p.divisor : partial[i]);
}
