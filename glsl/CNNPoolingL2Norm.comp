// y = the square root of the sum of the squares of the window's taps.
#version 450
#extension GL_GOOGLE_include_directive : require
layout(local_size_x = 256) in;
#include "pooling.glsl"

layout(set = 0, binding = 0) uniform Parameters { TexelGrid grid; CNNPoolingParameters p; };
IMAGE_SOURCE(1, source)
IMAGE_DESTINATION(2, destination)

void main() {
    uint i = gridIndex();
    if (i >= texelCount(grid)) return;
    Place at = placeOf(grid, i);
    int width = int(p.source.width), height = int(p.source.height);
    int beginX = p.startX + p.strideX * at.x, beginY = p.startY + p.strideY * at.y;
    Span sx = spanOf(beginX, p.kernelWidth, 1, width, p.edges);
    Span sy = spanOf(beginY, p.kernelHeight, 1, height, p.edges);
    vec4 sum = vec4(0.0);
    for (int y = sy.low; y < sy.low + sy.count; ++y) {
        float rows = float(tapsOn(y, height, beginY, p.kernelHeight, p.edges));
        for (int x = sx.low; x < sx.low + sx.count; ++x) {
            float columns = float(tapsOn(x, width, beginX, p.kernelWidth, p.edges));
            vec4 v = source_load(p.source, x, y, at.slice, at.image);
            sum += rows * columns * v * v;
        }
    }
    destination_store(p.destination, p.clipX + at.x, p.clipY + at.y, at.slice, at.image, sqrt(sum));
}
