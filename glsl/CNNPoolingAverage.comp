// y = the sum of the window's pixels over their number.
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
    for (int row = 0; row < sy.count; ++row)
        for (int column = 0; column < sx.count; ++column)
            sum += source_load(p.source, sx.low + column, sy.low + row, at.slice, at.image);
    float count = float(p.kernelWidth) * float(p.kernelHeight);
    if (p.edges != poolingEdgesZero)
        count = float(averageCount(beginX, p.kernelWidth, width, p.padX)) *
                float(averageCount(beginY, p.kernelHeight, height, p.padY));
    destination_store(p.destination, p.clipX + at.x, p.clipY + at.y, at.slice, at.image,
                      count > 0.0 ? sum / count : vec4(0.0));
}
