// y = x * l^-beta, l = delta + alpha / N * the sum of the squares of the channels around.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "crossChannel.glsl"

IMAGE_EDGE_READ(source)
IMAGE_DESTINATION(3, destination)

vec4 sourceAt(int slice) {
    return isSlice(slice)
               ? source_read(p.source, p.startX + at.x, p.startY + at.y, at.slice + uint(slice), at.image,
                             p.clampEdges)
               : vec4(0.0);
}

CHANNEL_WINDOW_SUM(squareSum, sourceAt, addSquare)

void main() {
    uint i = gridIndex();
    if (i >= texelCount(grid)) return;
    at = placeOf(grid, i);
    vec4 l = fma(vec4(p.alpha), squareSum(0, before, after), vec4(p.delta));
    vec4 inverse, power = inversePower(l, betaWhole, betaQuarters, p.betaRest, inverse);
    destination_store(p.destination, p.clipX + at.x, p.clipY + at.y, at.slice, at.image, sourceAt(0) * power);
}
