// dx = x * the sum of taps * dy / y over the windows that read the pixel `taps` times.
#version 450
#extension GL_GOOGLE_include_directive : require
layout(local_size_x = 256) in;
#include "pooling.glsl"

layout(set = 0, binding = 0) uniform Parameters { TexelGrid grid; CNNPoolingGradientParameters p; };
IMAGE_SOURCE(1, gradient)
IMAGE_SOURCE(2, source)
IMAGE_DESTINATION(3, destination)

vec4 squareSum(int beginX, int beginY, Place at) {
    Span sx = spanOf(beginX, p.kernelWidth, 1, p.sourceWidth, p.edges);
    Span sy = spanOf(beginY, p.kernelHeight, 1, p.sourceHeight, p.edges);
    vec4 sum = vec4(0.0);
    for (int y = sy.low; y < sy.low + sy.count; ++y) {
        float rows = float(tapsOn(y, p.sourceHeight, beginY, p.kernelHeight, p.edges));
        for (int x = sx.low; x < sx.low + sx.count; ++x) {
            float columns = float(tapsOn(x, p.sourceWidth, beginX, p.kernelWidth, p.edges));
            vec4 v = source_load(p.source, x, y, at.slice, at.image);
            sum += rows * columns * v * v;
        }
    }
    return sum;
}

void main() {
    uint i = gridIndex();
    if (i >= texelCount(grid)) return;
    Place at = placeOf(grid, i);
    int x = p.originX + at.x, y = p.originY + at.y;
    vec4 sum = vec4(0.0);
    if (x < p.sourceWidth && y < p.sourceHeight) {
        vec4 value = source_load(p.source, x, y, at.slice, at.image);
        Windows wx = windowsOf(x, p.sourceWidth, p.startX, p.kernelWidth, 1, p.strideX, p.firstWindowX,
                               p.windowsX, p.edges);
        Windows wy = windowsOf(y, p.sourceHeight, p.startY, p.kernelHeight, 1, p.strideY, p.firstWindowY,
                               p.windowsY, p.edges);
        for (int j = wy.first; j <= wy.last; ++j) {
            int beginY = p.startY + p.strideY * j;
            float rows = float(tapsOn(y, p.sourceHeight, beginY, p.kernelHeight, p.edges));
            for (int i = wx.first; i <= wx.last; ++i) {
                int beginX = p.startX + p.strideX * i;
                float columns = float(tapsOn(x, p.sourceWidth, beginX, p.kernelWidth, p.edges));
                vec4 g = gradient_load(p.gradient, p.gradientX + i, p.gradientY + j, at.slice, at.image);
                vec4 squares = squareSum(beginX, beginY, at);
                sum += mix(vec4(0.0), rows * columns * value * g * inversesqrt(squares),
                           greaterThan(squares, vec4(0.0)));
            }
        }
    }
    destination_store(p.destination, p.clipX + at.x, p.clipY + at.y, at.slice, at.image, sum);
}
