// Windows in the plane: what the forward pass of the spatial and the local contrast normalization
// and the first pass of their gradient have in common.
#ifndef MPSVK_NORMALIZATION_GLSL
#define MPSVK_NORMALIZATION_GLSL

#include "CNNNormalization.h"
#include "geometry.h"
layout(local_size_x = 256) in;
#include "inversePower.glsl"
#include "pixel.glsl"

layout(set = 0, binding = 0) uniform Parameters { CNNNormalizationParameters p; };
// 1: local contrast, of deviations from the window's mean. 0: spatial, of the values themselves.
layout(constant_id = 32) const uint centred = 0u;
// 1: windows are large, and a pass over the rows came before the one over the columns.
layout(constant_id = 33) const uint separate = 0u;

// The taps of a window along one axis: positions first ... last, to be clamped to the source, and
// `outside` more that read zeros.
struct Taps {
    int first, last;
    float outside;
};

Taps tapsOf(int centre, int count, int size) {
    int first = centre - count / 2, last = first + count - 1;
    if (p.clampEdges == 0u) {
        first = max(first, 0);
        last = min(last, size - 1);
    }
    return Taps(first, last, float(count - max(0, last - first + 1)));
}

uint resultIndex(Place at, uint slices) {
    return ((at.image * p.resultsY + uint(at.y)) * p.resultsX + uint(at.x)) * slices + at.slice;
}

// Of the source row `y`, for the windows of result column `x`.
uint rowIndex(int x, int y, uint slice, uint image, uint slices) {
    uint row = uint(clampIndex(y, int(p.source.height)) - p.firstRow);
    return ((image * p.rows + row) * p.resultsX + uint(x)) * slices + slice;
}

#endif
