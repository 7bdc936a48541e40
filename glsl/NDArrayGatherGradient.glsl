// Sums of the gradient's slices that belong to one slice of the source, in the order of the sorted
// list. Chunks of that list which belong to one slice as a whole are summed beforehand, so that an
// index that occurs very often does not keep a few invocations busy for long.
#include "NDArrayGatherGradient.h"
layout(local_size_x = 256) in;
#include "grid.glsl"
#include "matrix.glsl"

layout(constant_id = 32) const uint width = 4u; // elements of an invocation: 4 or 1
layout(set = 0, binding = 0) uniform Parameters { NDArrayGatherGradientParameters p; };
MATRIX_SOURCE(1, gradient)
layout(set = 0, binding = 4, std430) readonly buffer Order { uint order[]; };

// Of a row of the gradient and of the result.
struct Place {
    uint gradient, destination, column;
};

Place placeOf(uint unit) {
    uint acrossRow = (p.dimensions[0].size + width - 1u) / width;
    uint rest = unit / acrossRow;
    Place at = Place(p.gradientOffset, p.destinationOffset, unit % acrossRow * width);
    for (uint d = 1u; d < p.dimensionCount; ++d) {
        uint x = rest % p.dimensions[d].size;
        rest /= p.dimensions[d].size;
        at.gradient += x * uint(p.dimensions[d].source);
        at.destination += x * uint(p.dimensions[d].destination);
    }
    if (width == 1u) {
        at.gradient += at.column * uint(p.dimensions[0].source);
        at.destination += at.column * uint(p.dimensions[0].destination);
        at.column = 0u;
    }
    return at;
}

// A row from `offset` on.
MatrixView rowAt(uint offset) {
    return MatrixView(offset, 0u, 0u, 1u, width == 1u ? 1u : p.dimensions[0].size, p.isAligned, 0u,
                      0u);
}

vec4 sumOf(Place at, uint begin, uint end) {
    vec4 sum = vec4(0.0);
    for (uint k = begin; k < end; ++k) {
        MatrixView row = rowAt(at.gradient + order[k] * uint(p.gradientStride));
        if (width == 4u)
            sum += gradient_load4(row, 0u, 0u, at.column);
        else
            sum.x += gradient_load(row, 0u, 0u, 0u);
    }
    return sum;
}
