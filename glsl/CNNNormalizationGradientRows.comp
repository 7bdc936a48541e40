// Sums over each row of the windows that read a pixel of a column: of w and (local contrast) of the
// shares of the pixel of that column and row, from which the pixel itself may differ.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "windowTerms.glsl"

layout(set = 0, binding = 4, std430) writeonly buffer RowSums { vec4 rowSums[]; };

void main() {
    uint slices = (p.destination.channels + 3u) / 4u;
    uint i = gridIndex();
    if (i >= slices * p.clipWidth * p.resultsY * p.images) return;
    Place at = placeOf(i, slices, p.clipWidth, p.resultsY);
    int column = p.originX + at.x;
    if (column < 0 || column >= int(p.source.width)) return;
    int row = clampIndex(p.startY + at.y, int(p.source.height));
    vec4 x = source_load(p.source, column, row, at.slice, at.image);
    Readers columns = columnsOf(column);
    vec4 sum = vec4(0.0), shares = vec4(0.0);
    for (int result = columns.first; result <= columns.last; ++result) {
        float taps = float(tapsOnColumn(columns, result));
        uint term = resultIndex(Place(at.slice, result, at.y, at.image), slices);
        sum += taps * terms[term + p.termPlane];
        if (centred != 0u) shares += taps * share(term, x);
    }
    rowSums[i] = sum;
    if (centred != 0u) rowSums[i + p.rowPlane] = shares;
}
