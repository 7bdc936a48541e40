// Sums of the gradient's terms over the results whose windows read a source pixel.
#ifndef MPSVK_WINDOWTERMS_GLSL
#define MPSVK_WINDOWTERMS_GLSL

#include "forwardResults.glsl"
#include "normalization.glsl"

IMAGE_SOURCE(1, source)
layout(set = 0, binding = 5, std430) readonly buffer Terms { vec4 terms[]; };

Readers columnsOf(int x) {
    return readersOf(x, int(p.source.width), p.startX - p.kernelWidth / 2, p.kernelWidth,
                     int(p.resultsX), p.clampEdges);
}

Readers rowsOf(int y) {
    return readersOf(y, int(p.source.height), p.startY - p.kernelHeight / 2, p.kernelHeight,
                     int(p.resultsY), p.clampEdges);
}

int tapsOnColumn(Readers r, int x) { return tapsOn(r, p.startX - p.kernelWidth / 2 + x, p.kernelWidth); }
int tapsOnRow(Readers r, int y) { return tapsOn(r, p.startY - p.kernelHeight / 2 + y, p.kernelHeight); }

// What result `i` takes from the gradient of a source pixel of the value x; spatial: over slope * x.
vec4 share(uint i, vec4 x) {
    vec4 w = terms[i + p.termPlane];
    if (centred == 0u) return w;
    return p.share * terms[i] + p.slope * w * (x - terms[i + 2u * p.termPlane]);
}

#endif
