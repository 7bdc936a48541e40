// y = x * l^-beta, l = delta + alpha / N * the sum of the squares of the channels around.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "crossChannel.glsl"

IMAGE_EDGE_READ(source)
IMAGE_DESTINATION(3, destination)

Place at;

vec4 sourceAt(int slice) {
    return isSlice(slice)
               ? source_read(p.source, p.startX + at.x, p.startY + at.y, uint(slice), at.image, p.clampEdges)
               : vec4(0.0);
}

vec4 squareAt(int slice) {
    vec4 x = sourceAt(slice);
    return x * x;
}

CHANNEL_WINDOW_SUM(squareSum, squareAt)

void main() {
    uint i = gridIndex();
    if (i >= texelCount(grid)) return;
    at = placeOf(grid, i);
    vec4 l = p.delta + p.alpha * squareSum(int(at.slice), p.before, p.after);
    destination_store(p.destination, p.clipX + at.x, p.clipY + at.y, at.slice, at.image,
                      sourceAt(int(at.slice)) * inversePower(l, 1.0 / l, p.betaWhole, p.betaQuarters, p.betaRest));
}
