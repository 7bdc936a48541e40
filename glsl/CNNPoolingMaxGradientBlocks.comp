// As CNNPoolingMaxGradient with saved selections, for strides of 2 without dilation: an invocation
// writes 2x2 pixels, so that it reads each window that they share once.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "pooling.glsl"

layout(local_size_x = 256) in;
layout(set = 0, binding = 0) uniform Parameters { CNNPoolingGradientParameters p; };
IMAGE_SOURCE(1, gradient)
IMAGE_DESTINATION(3, destination)
layout(set = 0, binding = 4, std430) readonly buffer Selections { uint selections[]; };

// The first and the last pixel of the block along one axis that lie in the source and in the clip
// rectangle; none if the last one comes first.
ivec2 pixelsOf(int first, int origin, uint length, int size) {
    return ivec2(max(first, origin), min(first + 1, min(origin + int(length), size) - 1));
}

void main() {
    uint slices = (p.destination.channels + 3u) / 4u;
    // A block begins where a window does: no more windows than need be read it.
    int firstX = p.originX - floorModulo(p.originX - p.startX, 2);
    int firstY = p.originY - floorModulo(p.originY - p.startY, 2);
    uint blocksX = (uint(p.originX - firstX) + p.clipWidth + 1u) / 2u;
    uint blocksY = (uint(p.originY - firstY) + p.clipHeight + 1u) / 2u;
    uint index = gridIndex();
    if (index >= slices * blocksX * blocksY * p.images) return;
    Place at = placeOf(index, slices, blocksX, blocksY);
    int x = firstX + 2 * at.x, y = firstY + 2 * at.y;
    ivec2 columns = pixelsOf(x, p.originX, p.clipWidth, p.sourceWidth);
    ivec2 rows = pixelsOf(y, p.originY, p.clipHeight, p.sourceHeight);
    vec4 sums[4] = vec4[4](vec4(0.0), vec4(0.0), vec4(0.0), vec4(0.0));
    if (columns.x <= columns.y && rows.x <= rows.y) {
        int firstI = windowsOf(columns.x, p.sourceWidth, p.startX, p.kernelWidth, 1, 2, p.firstWindowX,
                               p.windowsX, p.edges).first;
        int lastI = windowsOf(columns.y, p.sourceWidth, p.startX, p.kernelWidth, 1, 2, p.firstWindowX,
                              p.windowsX, p.edges).last;
        int firstJ = windowsOf(rows.x, p.sourceHeight, p.startY, p.kernelHeight, 1, 2, p.firstWindowY,
                               p.windowsY, p.edges).first;
        int lastJ = windowsOf(rows.y, p.sourceHeight, p.startY, p.kernelHeight, 1, 2, p.firstWindowY,
                              p.windowsY, p.edges).last;
        for (int j = firstJ; j <= lastJ; ++j) {
            Span sy = spanOf(p.startY + 2 * j, p.kernelHeight, 1, p.sourceHeight, p.edges);
            for (int i = firstI; i <= lastI; ++i) {
                Span sx = spanOf(p.startX + 2 * i, p.kernelWidth, 1, p.sourceWidth, p.edges);
                uint packed = selections[at.image * p.selectionStride +
                                         (uint(j) * p.selectionWidth + uint(i)) * slices + at.slice];
                uvec4 selected = uvec4(packed, packed >> 8, packed >> 16, packed >> 24) & 255u;
                vec4 g = gradient_load(p.gradient, p.gradientX + i, p.gradientY + j, at.slice, at.image);
                for (int k = 0; k < 4; ++k) {
                    int column = x + k % 2 - sx.low, row = y + k / 2 - sy.low;
                    bool isTap = column >= 0 && column < sx.count && row >= 0 && row < sy.count;
                    uint tap = isTap ? uint(row * p.kernelWidth + column) : 256u;
                    sums[k] += mix(vec4(0.0), g, equal(selected, uvec4(tap)));
                }
            }
        }
    }
    for (int k = 0; k < 4; ++k) {
        int column = x + k % 2 - p.originX, row = y + k / 2 - p.originY;
        if (column < 0 || column >= int(p.clipWidth) || row < 0 || row >= int(p.clipHeight)) continue;
        destination_store(p.destination, p.clipX + column, p.clipY + row, at.slice, at.image, sums[k]);
    }
}
