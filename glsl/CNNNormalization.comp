// y = pm + ps * (x - p0 * m) * t^-beta, t = delta + alpha * v, with m and v the window's mean and
// variance or (spatial) 0 and its mean square.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "windowStatistics.glsl"

IMAGE_DESTINATION(3, destination)

void main() {
    uint slices = (p.destination.channels + 3u) / 4u;
    uint i = gridIndex();
    if (i >= slices * p.resultsX * p.resultsY * p.images) return;
    Place at = placeOf(i, slices, p.resultsX, p.resultsY);
    int sourceX = p.startX + at.x, sourceY = p.startY + at.y;
    vec4 x = source_read(p.source, sourceX, sourceY, at.slice, at.image, p.clampEdges);
    Statistics window = statisticsOf(at, slices, sourceX, sourceY, x);
    vec4 t = p.delta + p.alpha * window.variance;
    vec4 inverse, power = inversePower(t, p.betaWhole, p.betaQuarters, p.betaRest, inverse);
    destination_store(p.destination, p.clipX + at.x, p.clipY + at.y, at.slice, at.image,
                      p.pm + p.ps * (x - p.p0 * window.mean) * power);
}
