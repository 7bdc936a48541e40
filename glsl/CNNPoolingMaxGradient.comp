// dx = the sum of dy over the windows whose first maximum (in raster order) the pixel is; times the
// derivative of a neuron that made x.
#version 450
#extension GL_GOOGLE_include_directive : require
layout(local_size_x = 256) in;
#include "pooling.glsl"

layout(set = 0, binding = 0) uniform Parameters { TexelGrid grid; CNNPoolingGradientParameters p; };
IMAGE_SOURCE(1, gradient)
IMAGE_SOURCE(2, source)
IMAGE_DESTINATION(3, destination)
layout(set = 0, binding = 4, std430) readonly buffer Selections { uint selections[]; };
#include "poolingDerivative.glsl"
layout(constant_id = 32) const uint saved = 0u; // CNNPoolingMax has left its selections

bvec4 isSelected(Span sx, Span sy, int x, int y, vec4 value, Place at) {
    bvec4 first = not(isNotNumber(value));
    if (p.edges == poolingEdgesZero && sx.count * sy.count < p.kernelWidth * p.kernelHeight)
        first = both(first, greaterThanEqual(value, vec4(0.0)));
    for (int row = 0; row < sy.count; ++row)
        for (int column = 0; column < sx.count; ++column) {
            int otherX = sx.low + column * p.dilationX, otherY = sy.low + row * p.dilationY;
            if (otherX == x && otherY == y) continue;
            vec4 other = source_load(p.source, otherX, otherY, at.slice, at.image);
            bool before = otherY < y || (otherY == y && otherX < x);
            first = both(first, not(before ? greaterThanEqual(other, value) : greaterThan(other, value)));
        }
    return first;
}

void main() {
    uint slices = (p.destination.channels + 3u) / 4u;
    uint i = gridIndex();
    if (i >= texelCount(grid)) return;
    Place at = placeOf(grid, i);
    int x = p.originX + at.x, y = p.originY + at.y;
    vec4 sum = vec4(0.0);
    if (x < p.sourceWidth && y < p.sourceHeight) {
        vec4 value = vec4(0.0);
        if (saved == 0u || neuron != neuronNone) value = source_load(p.source, x, y, at.slice, at.image);
        Windows wx = windowsOf(x, p.sourceWidth, p.startX, p.kernelWidth, p.dilationX, p.strideX,
                               p.firstWindowX, p.windowsX, p.edges);
        Windows wy = windowsOf(y, p.sourceHeight, p.startY, p.kernelHeight, p.dilationY, p.strideY,
                               p.firstWindowY, p.windowsY, p.edges);
        for (int j = wy.first; j <= wy.last; ++j) {
            Span sy = spanOf(p.startY + p.strideY * j, p.kernelHeight, p.dilationY, p.sourceHeight, p.edges);
            int row = (y - sy.low) / p.dilationY;
            if (sy.low + row * p.dilationY != y) continue; // between the taps
            for (int i = wx.first; i <= wx.last; ++i) {
                Span sx = spanOf(p.startX + p.strideX * i, p.kernelWidth, p.dilationX, p.sourceWidth,
                                 p.edges);
                int column = (x - sx.low) / p.dilationX;
                if (sx.low + column * p.dilationX != x) continue;
                vec4 g = gradient_load(p.gradient, p.gradientX + i, p.gradientY + j, at.slice, at.image);
                bvec4 selected;
                if (saved != 0u) {
                    uint packed = selections[at.image * p.selectionStride +
                                             (uint(j) * p.selectionWidth + uint(i)) * slices + at.slice];
                    selected = equal(uvec4(packed, packed >> 8, packed >> 16, packed >> 24) & 255u,
                                     uvec4(uint(row * p.kernelWidth + column)));
                } else {
                    selected = isSelected(sx, sy, x, y, value, at);
                }
                sum += mix(vec4(0.0), g, selected);
            }
        }
        if (neuron != neuronNone) sum *= derivativeAt(value, at.slice);
    }
    destination_store(p.destination, p.clipX + at.x, p.clipY + at.y, at.slice, at.image, sum);
}
