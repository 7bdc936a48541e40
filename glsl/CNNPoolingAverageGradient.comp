// dx = the sum of dy / count over the windows that the pixel belongs to.
#version 450
#extension GL_GOOGLE_include_directive : require
layout(local_size_x = 256) in;
#include "pooling.glsl"

layout(set = 0, binding = 0) uniform Parameters { TexelGrid grid; CNNPoolingGradientParameters p; };
IMAGE_SOURCE(1, gradient)
IMAGE_DESTINATION(3, destination)

void main() {
    uint i = gridIndex();
    if (i >= texelCount(grid)) return;
    Place at = placeOf(grid, i);
    int x = p.originX + at.x, y = p.originY + at.y;
    vec4 sum = vec4(0.0);
    if (x < p.sourceWidth && y < p.sourceHeight) {
        Windows wx = windowsOf(x, p.sourceWidth, p.startX, p.kernelWidth, 1, p.strideX, p.firstWindowX,
                               p.windowsX, p.edges);
        Windows wy = windowsOf(y, p.sourceHeight, p.startY, p.kernelHeight, 1, p.strideY, p.firstWindowY,
                               p.windowsY, p.edges);
        for (int j = wy.first; j <= wy.last; ++j) {
            int rows = countedTaps(p.startY + p.strideY * j, p.kernelHeight, p.sourceHeight, p.padY, p.edges);
            for (int i = wx.first; i <= wx.last; ++i) {
                int columns = countedTaps(p.startX + p.strideX * i, p.kernelWidth, p.sourceWidth, p.padX, p.edges);
                sum += gradient_load(p.gradient, p.gradientX + i, p.gradientY + j, at.slice, at.image) /
                       float(columns * rows);
            }
        }
    }
    destination_store(p.destination, p.clipX + at.x, p.clipY + at.y, at.slice, at.image, sum);
}
