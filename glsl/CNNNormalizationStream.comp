// y = pm + ps * (x - p0 * m) * t^-beta, t = delta + alpha * v, by workgroups that walk down the rows.
#version 450
#extension GL_GOOGLE_include_directive : require
#define REACH_X (kernelWidth / 2u)
#define REACH_Y (kernelHeight / 2u)
#define SUMS 1u
#include "windowStream.glsl"

IMAGE_DESTINATION(3, destination)

Strip strip;

// `y`: the result's.
void finishRow(uint u, int y) {
    Statistics window = statisticsOf(u);
    vec4 x = xs[u + rowsBefore], t = fma(vec4(p.alpha), window.variance, vec4(p.delta));
    vec4 inverse, power = inversePower(t, betaWhole, betaQuarters, p.betaRest, inverse);
    if (hasColumn(strip) && y >= strip.firstRow && y < strip.endRow)
        destination_store(p.destination, p.clipX + strip.column - p.originX, p.clipY + y - p.originY,
                          strip.slice, strip.image, p.pm + p.ps * (x - p.p0 * window.mean) * power);
    barrier();
}

void main() {
    strip = stripOf();
    if (strip.image >= p.images) return; // the whole workgroup
    clearSums();
    int last = strip.endRow - 1 + int(rowsAfter);
    readSource(strip, strip.row, last);
    for (int row = strip.row; row <= last; row += int(rowsEach)) {
        takeSource();
        readSource(strip, row + int(rowsEach), last);
        int y = row - int(rowsAfter);
        finishRow(0u, y);
        if (rowsEach > 1u) finishRow(1u, y + 1);
        if (rowsEach > 2u) finishRow(2u, y + 2);
        if (rowsEach > 3u) finishRow(3u, y + 3);
        moveSource();
    }
}
