// dx = the sum of dy over the results that read the element, in a fixed order.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "NNPad.h"
layout(local_size_x = 256) in;
#include "pixel.glsl"

layout(set = 0, binding = 0) uniform Parameters { TexelGrid grid; NNPadGradientParameters p; };
IMAGE_SOURCE(1, gradient)
IMAGE_CHANNELS_READ(gradient)
IMAGE_DESTINATION(3, destination)

// Of one pixel of the gradient, over the channels that read the destination's.
vec4 channelSums(int x, int y, uint slice, uint image) {
    uint end = min(slice * 4u + 4u, p.destination.channels);
    int first = p.firstChannel + int(slice * 4u);
    bool once = p.written == p.channels || p.mode == padZero || p.mode == padConstant;
    if (once && first >= 0 && p.firstChannel + int(end) <= p.channels)
        return gradient_channels(p.gradient, x, y, uint(first + p.before), image);
    vec4 sum = vec4(0.0);
    for (uint channel = slice * 4u; channel < end; ++channel) {
        PadReaders r = padReaders(p.mode, p.firstChannel + int(channel), p.channels, -p.before, 0,
                                  p.written - 1);
        for (int c = r.a; c <= r.last; c += r.step)
            sum[channel & 3u] += gradient_channels(p.gradient, x, y, uint(c), image).x;
        for (int c = r.b; c <= r.last; c += r.step)
            sum[channel & 3u] += gradient_channels(p.gradient, x, y, uint(c), image).x;
    }
    return sum;
}

void main() {
    uint i = gridIndex();
    if (i >= texelCount(grid)) return;
    Place at = placeOf(grid, i);
    PadReaders rx = padReaders(p.mode, p.originX + at.x, p.sourceWidth, p.offsetX, 0, p.lastX);
    PadReaders ry = padReaders(p.mode, p.originY + at.y, p.sourceHeight, p.offsetY, 0, p.lastY);
    vec4 sum = vec4(0.0);
    for (int j = 0; j < 2; ++j)
        for (int y = j == 0 ? ry.a : ry.b; y <= ry.last; y += ry.step)
            for (int k = 0; k < 2; ++k)
                for (int x = k == 0 ? rx.a : rx.b; x <= rx.last; x += rx.step)
                    sum += channelSums(p.gradientX + x, p.gradientY + y, at.slice, at.image);
    destination_store(p.destination, p.clipX + at.x, p.clipY + at.y, at.slice, at.image, sum);
}
