// What flows back to one operand: the gradient, times the other operand of a product, summed over
// every place where the operand's element was read.
//
// A team of p.lanes invocations sums one texel of the result (or one of p.parts shares of it), each
// member every p.lanes-th place; then the members' sums are added in a tree.
#version 450
#extension GL_GOOGLE_include_directive : require
layout(local_size_x = 128) in;
#include "arithmeticGradient.glsl"

IMAGE_DESTINATION(3, destination)

shared vec4 scratch[128];

// x: the first gradient pixel that pixel `d` of the clip rectangle was read for, y: how many.
ivec2 readersOf(int d, int size, int offset, int begin, int count, uint reduces, int sumAt,
                uint clampsEdges, int operandPixel) {
    if (reduces != 0u) return d == sumAt ? ivec2(begin, count) : ivec2(0);
    int low = offset + d, high = low;
    if (clampsEdges != 0u && operandPixel == 0) low = begin;
    if (clampsEdges != 0u && operandPixel == size - 1) high = begin + count - 1;
    low = max(low, begin);
    high = min(high, begin + count - 1);
    return ivec2(low, max(high - low + 1, 0));
}

void main() {
    uint slices = (p.destination.channels + 3u) / 4u;
    uint thread = gl_LocalInvocationID.x;
    uint lane = thread % p.lanes;
    uint group = gl_WorkGroupID.x + gl_WorkGroupID.y * gl_NumWorkGroups.x;
    uint item = group * (128u / p.lanes) + thread / p.lanes;
    uint results = slices * p.clipWidth * p.clipHeight * p.images;
    bool isActive = item < results * p.parts;
    uint part = item % p.parts;
    Place at = placeOf(isActive ? item / p.parts : 0u, slices, p.clipWidth, p.clipHeight);

    ivec2 columns = readersOf(at.x, int(p.operandWidth), p.gradientOffsetX, p.beginX, int(p.sizeX),
                              p.reducesX, p.sumX, p.clampsX, p.clipX + at.x);
    ivec2 rows = readersOf(at.y, int(p.operandHeight), p.gradientOffsetY, p.beginY, int(p.sizeY),
                           p.reducesY, p.sumY, p.clampsY, p.clipY + at.y);
    uint gradientSlices = (p.gradient.channels + 3u) / 4u;
    uint firstSlice = at.slice, sliceCount = at.slice < gradientSlices ? 1u : 0u;
    if (p.reducesChannels != 0u) {
        firstSlice = 0u;
        sliceCount = at.slice == 0u ? gradientSlices : 0u;
    }
    uint places = isActive ? uint(columns.y) * uint(rows.y) * sliceCount : 0u;
    uint share = (places + p.parts - 1u) / p.parts;
    uint end = min(places, (part + 1u) * share);
    vec4 sum = vec4(0.0);
    for (uint i = part * share + lane; i < end; i += p.lanes) {
        uint slice = i % sliceCount, pixel = i / sliceCount;
        int x = columns.x + int(pixel % uint(columns.y)), y = rows.x + int(pixel / uint(columns.y));
        vec4 g = gradient_load(p.gradient, x, y, firstSlice + slice, at.image);
        sum += summand(g, x, y, firstSlice + slice, at.image);
    }
    scratch[thread] = sum;
    barrier();
    for (uint step = p.lanes / 2u; step > 0u; step /= 2u) {
        if (lane < step) scratch[thread] += scratch[thread + step];
        barrier();
    }
    if (!isActive || lane != 0u) return;
    sum = scratch[thread];
    if (p.parts > 1u) {
        partials[item] = sum;
        return;
    }
    if (p.reducesChannels != 0u) sum = vec4(sum.x + sum.y + sum.z + sum.w, 0.0, 0.0, 0.0);
    destination_store(p.destination, p.clipX + at.x, p.clipY + at.y, at.slice, at.image, sum);
}
