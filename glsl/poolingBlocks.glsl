// Pooling gradients for strides of 2 without dilation: an invocation writes 2x2 pixels, so that it
// reads each window that they share once. The includer has declared the parameters `p`.
#ifndef MPSVK_POOLINGBLOCKS_GLSL
#define MPSVK_POOLINGBLOCKS_GLSL

#include "pooling.glsl"

struct PixelBlock {
    bool exists;
    Place at;
    int x, y;                           // its first pixel
    int firstI, lastI, firstJ, lastJ;   // the windows that read one of its pixels
};

// The first and the last pixel of the block along one axis that lie in the source and in the clip
// rectangle; none if the last one comes first.
ivec2 pixelsOf(int first, int origin, uint length, int size) {
    return ivec2(max(first, origin), min(first + 1, min(origin + int(length), size) - 1));
}

PixelBlock pixelBlock(uint index, uint slices) {
    // A block begins where a window does: no more windows than need be read it.
    int firstX = p.originX - floorModulo(p.originX - p.startX, 2);
    int firstY = p.originY - floorModulo(p.originY - p.startY, 2);
    uint blocksX = (uint(p.originX - firstX) + p.clipWidth + 1u) / 2u;
    uint blocksY = (uint(p.originY - firstY) + p.clipHeight + 1u) / 2u;
    PixelBlock b;
    b.exists = index < slices * blocksX * blocksY * p.images;
    b.at = placeOf(index, slices, blocksX, blocksY);
    b.x = firstX + 2 * b.at.x;
    b.y = firstY + 2 * b.at.y;
    b.firstI = b.firstJ = 0;
    b.lastI = b.lastJ = -1;
    ivec2 columns = pixelsOf(b.x, p.originX, p.clipWidth, p.sourceWidth);
    ivec2 rows = pixelsOf(b.y, p.originY, p.clipHeight, p.sourceHeight);
    if (columns.x > columns.y || rows.x > rows.y) return b;
    b.firstI = windowsOf(columns.x, p.sourceWidth, p.startX, p.kernelWidth, 1, 2, p.firstWindowX,
                         p.windowsX, p.edges).first;
    b.lastI = windowsOf(columns.y, p.sourceWidth, p.startX, p.kernelWidth, 1, 2, p.firstWindowX,
                        p.windowsX, p.edges).last;
    b.firstJ = windowsOf(rows.x, p.sourceHeight, p.startY, p.kernelHeight, 1, 2, p.firstWindowY,
                         p.windowsY, p.edges).first;
    b.lastJ = windowsOf(rows.y, p.sourceHeight, p.startY, p.kernelHeight, 1, 2, p.firstWindowY,
                        p.windowsY, p.edges).last;
    return b;
}

// Of pixel k of the block within a window: its tap, or -1 for none.
int tapOf(PixelBlock b, int k, Span sx, Span sy) {
    int column = b.x + k % 2 - sx.low, row = b.y + k / 2 - sy.low;
    bool isTap = column >= 0 && column < sx.count && row >= 0 && row < sy.count;
    return isTap ? row * p.kernelWidth + column : -1;
}

#define STORE_PIXEL_BLOCK(b, sums)                                                                 \
    for (int k = 0; k < 4; ++k) {                                                                  \
        int column = b.x + k % 2 - p.originX, row = b.y + k / 2 - p.originY;                       \
        if (column >= 0 && column < int(p.clipWidth) && row >= 0 && row < int(p.clipHeight))       \
            destination_store(p.destination, p.clipX + column, p.clipY + row, b.at.slice,          \
                              b.at.image, sums[k]);                                                \
    }

#endif
