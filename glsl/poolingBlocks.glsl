// Pooling gradients for strides of 2 without dilation: an invocation writes 2x2 pixels, so that it
// reads each window that they share once. A block begins where a window does. Each window lies in the
// source at least in part, so that clamped taps are those of pixels that belong to it anyway. The
// includer has declared `grid`, of blocks, and `p`.
#ifndef MPSVK_POOLINGBLOCKS_GLSL
#define MPSVK_POOLINGBLOCKS_GLSL

#include "pooling.glsl"

layout(constant_id = 33) const int kernelWidth = 2;
layout(constant_id = 34) const int kernelHeight = 2;

struct PixelBlock {
    Place at;
    int x, y; // its first pixel
    int i, j; // the last window along each axis, which begins there
};

PixelBlock pixelBlock(uint index) {
    PixelBlock b;
    b.at = placeOf(grid, index);
    b.x = p.originX - ((p.originX - p.startX) & 1) + 2 * b.at.x;
    b.y = p.originY - ((p.originY - p.startY) & 1) + 2 * b.at.y;
    b.i = (b.x - p.startX) >> 1;
    b.j = (b.y - p.startY) >> 1;
    return b;
}

bool isWindow(int i, int j) {
    return i >= p.firstWindowX && i < p.windowsX && j >= p.firstWindowY && j < p.windowsY;
}

// One that is none is read in the first one's place, and counts zeros: all loads come before the first use.
ivec2 readWindow(int i, int j) { return isWindow(i, j) ? ivec2(i, j) : ivec2(p.firstWindowX, p.firstWindowY); }

// The windows that read a block, the last ones first, and the loop over them.
const int windowsAcross = (kernelWidth + 1) / 2, windowsDown = (kernelHeight + 1) / 2;
#define EACH_WINDOW(DI, DJ)                                                                        \
    [[unroll]] for (int DJ = 0; DJ < windowsDown; ++DJ)                                            \
        [[unroll]] for (int DI = 0; DI < windowsAcross; ++DI)

// Whether pixel k of the block belongs to the window di to the left of the last and dj above it.
bool isTap(int k, int di, int dj) { return k % 2 + 2 * di < kernelWidth && k / 2 + 2 * dj < kernelHeight; }

#define STORE_PIXEL_BLOCK(b, sums)                                                                 \
    [[unroll]] for (int k = 0; k < 4; ++k) {                                                       \
        int x = b.x + k % 2, y = b.y + k / 2;                                                      \
        int column = x - p.originX, row = y - p.originY;                                           \
        if (column < 0 || column >= int(p.clipWidth) || row < 0 || row >= int(p.clipHeight)) continue; \
        if (x >= p.sourceWidth || y >= p.sourceHeight) sums[k] = vec4[2](vec4(0.0), vec4(0.0));    \
        destination_storeTexels(p.destination, p.clipX + column, p.clipY + row, b.at.slice,        \
                                b.at.image, sums[k]);                                              \
    }

#endif
