// What each forward result contributes to the gradient of its window: a = ps * dy * t^-beta,
// w = a * (x - p0 * m) / t and (local contrast) m, as planes of fp32.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "windowStatistics.glsl"

IMAGE_SOURCE(2, gradient)
layout(set = 0, binding = 5, std430) writeonly buffer Terms { vec4 terms[]; };

void main() {
    uint slices = (p.destination.channels + 3u) / 4u;
    uint i = gridIndex();
    if (i >= slices * p.resultsX * p.resultsY * p.images) return;
    Place at = placeOf(i, slices, p.resultsX, p.resultsY);
    int sourceX = p.startX + at.x, sourceY = p.startY + at.y;
    vec4 x = source_read(p.source, sourceX, sourceY, at.slice, at.image, p.clampEdges);
    Statistics window = statisticsOf(at, slices, sourceX, sourceY, x);
    vec4 t = p.delta + p.alpha * window.variance;
    vec4 g = gradient_load(p.gradient, p.gradientX + at.x, p.gradientY + at.y, at.slice, at.image);
    vec4 inverse, a = p.ps * g * inversePower(t, p.betaWhole, p.betaQuarters, p.betaRest, inverse);
    uint plane = p.termPlane;
    terms[i] = a;
    terms[i + plane] = a * (x - p.p0 * window.mean) * inverse;
    if (centred != 0u) terms[i + 2u * plane] = window.mean;
}
