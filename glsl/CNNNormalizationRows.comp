// Of each window's row: the mean and the sum of squares about it, or (spatial) the sum of squares.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "normalization.glsl"

IMAGE_SOURCE(1, source)
layout(set = 0, binding = 4, std430) writeonly buffer RowSums { vec4 rowSums[]; };

vec4 tap(Place at, int x) {
    return source_load(p.source, clampIndex(x, int(p.source.width)), p.firstRow + at.y, at.slice, at.image);
}

void main() {
    uint slices = (p.destination.channels + 3u) / 4u;
    uint i = gridIndex();
    if (i >= slices * p.resultsX * p.rows * p.images) return;
    Place at = placeOf(i, slices, p.resultsX, p.rows);
    Taps taps = tapsOf(p.startX + at.x, p.kernelWidth, int(p.source.width));
    vec4 mean = vec4(0.0), squares = vec4(0.0);
    if (centred != 0u) {
        vec4 shift = taps.first <= taps.last ? tap(at, taps.first) : vec4(0.0);
        for (int x = taps.first; x <= taps.last; ++x) mean += tap(at, x) - shift;
        mean = shift + (mean - taps.outside * shift) / float(p.kernelWidth);
        squares = taps.outside * mean * mean;
    }
    for (int x = taps.first; x <= taps.last; ++x) {
        vec4 deviation = tap(at, x) - mean;
        squares += deviation * deviation;
    }
    if (centred != 0u) {
        rowSums[i] = mean;
        rowSums[i + p.rowPlane] = squares;
    } else {
        rowSums[i] = squares;
    }
}
