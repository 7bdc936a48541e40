// The mean and the variance of a window (spatial: 0 and the mean square). Zeros outside the source
// count.
#ifndef MPSVK_WINDOWSTATISTICS_GLSL
#define MPSVK_WINDOWSTATISTICS_GLSL

#include "normalization.glsl"

IMAGE_SOURCE(1, source)
IMAGE_EDGE_READ(source)
layout(set = 0, binding = 4, std430) readonly buffer RowSums { vec4 rowSums[]; };

struct Statistics {
    vec4 mean, variance;
};

// From the rows' means and their squares about these.
Statistics mergedRows(Place at, uint slices, Taps rows) {
    float width = float(p.kernelWidth), height = float(p.kernelHeight);
    vec4 shift = vec4(0.0), sum = vec4(0.0);
    if (centred != 0u && rows.first <= rows.last)
        shift = rowSums[rowIndex(at.x, rows.first, at.slice, at.image, slices)];
    for (int y = rows.first; y <= rows.last; ++y)
        sum += rowSums[rowIndex(at.x, y, at.slice, at.image, slices)] - shift;
    if (centred == 0u) return Statistics(vec4(0.0), sum / (width * height));
    vec4 mean = shift + (sum - rows.outside * shift) / height;
    vec4 squares = rows.outside * width * mean * mean;
    for (int y = rows.first; y <= rows.last; ++y) {
        uint i = rowIndex(at.x, y, at.slice, at.image, slices);
        vec4 deviation = rowSums[i] - mean;
        squares += rowSums[i + p.rowPlane] + width * deviation * deviation;
    }
    return Statistics(mean, squares / (width * height));
}

// Of the window around source pixel x, y, whose value is `centre`. Deviations are taken from that
// member of the window, so that a large mean does not cancel the variance.
Statistics statisticsOf(Place at, uint slices, int x, int y, vec4 centre) {
    int width = int(p.source.width), height = int(p.source.height);
    Taps rows = tapsOf(y, p.kernelHeight, height);
    if (separate != 0u) return mergedRows(at, slices, rows);
    Taps columns = tapsOf(x, p.kernelWidth, width);
    vec4 shift = centred != 0u ? centre : vec4(0.0);
    vec4 sum = vec4(0.0), squares = vec4(0.0);
    for (int row = rows.first; row <= rows.last; ++row)
        for (int column = columns.first; column <= columns.last; ++column) {
            vec4 v = source_load(p.source, clampIndex(column, width), clampIndex(row, height),
                                 at.slice, at.image) - shift;
            sum += v;
            squares += v * v;
        }
    float count = float(p.kernelWidth) * float(p.kernelHeight);
    if (centred == 0u) return Statistics(vec4(0.0), squares / count);
    float outside = count - (float(p.kernelWidth) - columns.outside) *
                                (float(p.kernelHeight) - rows.outside);
    sum -= outside * shift;
    squares += outside * shift * shift;
    vec4 mean = sum / count;
    return Statistics(shift + mean, max(squares / count - mean * mean, vec4(0.0)));
}

#endif
