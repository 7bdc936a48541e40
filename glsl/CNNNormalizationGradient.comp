// dx = the sum of a over the results at the pixel - the sum of shares over the results around it:
// shares are slope * x * w or (local contrast) a * p0 / N + slope * w * (x - m).
#version 450
#extension GL_GOOGLE_include_directive : require
#include "windowTerms.glsl"

IMAGE_DESTINATION(3, destination)
layout(set = 0, binding = 4, std430) readonly buffer RowSums { vec4 rowSums[]; };

vec4 ownTerms(Place at, uint slices, int x, int y) {
    Readers columns = readersOf(x, int(p.source.width), p.startX, 1, int(p.resultsX), p.clampEdges);
    Readers rows = readersOf(y, int(p.source.height), p.startY, 1, int(p.resultsY), p.clampEdges);
    vec4 sum = vec4(0.0);
    for (int row = rows.first; row <= rows.last; ++row)
        for (int column = columns.first; column <= columns.last; ++column)
            sum += terms[resultIndex(Place(at.slice, column, row, at.image), slices)];
    return sum;
}

vec4 mergedRows(Place at, uint slices, Readers rows, int column, vec4 x) {
    vec4 sum = vec4(0.0);
    for (int row = rows.first; row <= rows.last; ++row) {
        float taps = float(tapsOnRow(rows, row));
        uint i = ((at.image * p.resultsY + uint(row)) * p.clipWidth + uint(at.x)) * slices + at.slice;
        if (centred == 0u) {
            sum += taps * rowSums[i];
        } else {
            int y = clampIndex(p.startY + row, int(p.source.height));
            vec4 difference = x - source_load(p.source, column, y, at.slice, at.image);
            sum += taps * (rowSums[i + p.rowPlane] + p.slope * difference * rowSums[i]);
        }
    }
    return sum;
}

vec4 shares(Place at, uint slices, Readers rows, int column, vec4 x) {
    Readers columns = columnsOf(column);
    vec4 sum = vec4(0.0);
    for (int row = rows.first; row <= rows.last; ++row) {
        int tapsInRow = tapsOnRow(rows, row);
        for (int result = columns.first; result <= columns.last; ++result) {
            float taps = float(tapsInRow) * float(tapsOnColumn(columns, result));
            sum += taps * share(resultIndex(Place(at.slice, result, row, at.image), slices), x);
        }
    }
    return sum;
}

void main() {
    uint slices = (p.destination.channels + 3u) / 4u;
    uint i = gridIndex();
    if (i >= slices * p.clipWidth * p.clipHeight * p.images) return;
    Place at = placeOf(i, slices, p.clipWidth, p.clipHeight);
    int column = p.originX + at.x, row = p.originY + at.y;
    Readers rows = rowsOf(row), columns = columnsOf(column);
    bool isRead = rows.first <= rows.last && columns.first <= columns.last;
    vec4 dx = vec4(0.0);
    if (isRead && inside(p.source, column, row)) { // what other pixels hold does not matter
        vec4 x = source_load(p.source, column, row, at.slice, at.image);
        vec4 sum = separate != 0u ? mergedRows(at, slices, rows, column, x)
                                  : shares(at, slices, rows, column, x);
        dx = ownTerms(at, slices, column, row) - (centred != 0u ? sum : p.slope * x * sum);
    }
    destination_store(p.destination, p.clipX + at.x, p.clipY + at.y, at.slice, at.image, dx);
}
