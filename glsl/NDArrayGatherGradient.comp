// Every slice of the result: the sum of the gradient's slices whose index it is, or zeros.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "NDArrayGatherGradient.glsl"

MATRIX_DESTINATION(2, result)
layout(set = 0, binding = 3, std430) readonly buffer Sums { vec4 sums[]; }; // of whole chunks
layout(set = 0, binding = 5, std430) readonly buffer Ranges { uint ranges[]; };

void main() {
    uint i = gridIndex();
    uint slice = p.slicesRunFastest != 0u ? i % p.slices : i / p.units;
    uint unit = p.slicesRunFastest != 0u ? i / p.slices : i % p.units;
    if (slice >= p.slices || unit >= p.units) return;
    Place at = placeOf(unit);
    uint begin = ranges[2u * slice], end = ranges[2u * slice + 1u];
    uint size = gatherChunk();
    uint firstChunk = (begin + size - 1u) / size, lastChunk = end / size;
    vec4 sum;
    if (p.chunks == 0u || firstChunk >= lastChunk) {
        sum = sumOf(at, begin, end);
    } else {
        sum = sumOf(at, begin, firstChunk * size);
        for (uint chunk = firstChunk; chunk < lastChunk; ++chunk)
            sum += sums[chunk * p.units + unit];
        sum += sumOf(at, lastChunk * size, end);
    }
    MatrixView row = rowAt(at.destination + slice * uint(p.destinationStride));
    if (width == 4u)
        result_store4(row, 0u, 0u, at.column, sum);
    else
        result_store(row, 0u, 0u, 0u, sum.x);
}
