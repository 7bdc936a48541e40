// Where windows lie, how large results are, and which windows a source pixel belongs to: pure
// functions of one axis, read by C++ and by GLSL alike.
//
// A window has `taps` taps `dilation` pixels apart, hence the extent (taps - 1) * dilation + 1.
// Window x of a kernel with the given offset and stride starts at
//     offset - extent / 2 + stride * x,
// so an even extent reaches one pixel further to the left (or top) than to the right.
#ifndef MPSVK_GLSL_GEOMETRY_H
#define MPSVK_GLSL_GEOMETRY_H

#include "types.h"

MPSVK_SHARED_BEGIN

MPSVK_FUNCTION int lesser(int a, int b) { return a < b ? a : b; }

MPSVK_FUNCTION int greater(int a, int b) { return a > b ? a : b; }

// The divisors below are positive. Shading languages leave the quotient of negative operands open,
// so no operand of a division here is ever negative.
MPSVK_FUNCTION int floorDivide(int a, int b) { return a >= 0 ? a / b : -((b - 1 - a) / b); }

MPSVK_FUNCTION int ceilDivide(int a, int b) { return -floorDivide(-a, b); }

MPSVK_FUNCTION int floorModulo(int a, int b) { return a - b * floorDivide(a, b); }

// a / 2, rounded towards zero.
MPSVK_FUNCTION int truncatedHalf(int a) { return a >= 0 ? a / 2 : -((-a) / 2); }

// ---- windows -----------------------------------------------------------------------------------

MPSVK_FUNCTION int dilatedExtent(int taps, int dilation) { return (taps - 1) * dilation + 1; }

// The source position of tap 0 of window 0.
MPSVK_FUNCTION int windowStart(int offset, int extent) { return offset - extent / 2; }

// ---- padding policies --------------------------------------------------------------------------
// style: -1 valid only, 0 same, 1 full. alignment: 0 centered, 1 top left, 2 bottom right.
// remainderFirst: 1 when an odd remainder is added to the top or left, 0 for the bottom or right.

MPSVK_FUNCTION int paddedSize(int size, int stride, int extent, int style) {
    return greater(0, ceilDivide(size + style * (extent - 1), stride));
}

// Of kernels whose stride spreads the source apart: transposed convolution.
MPSVK_FUNCTION int reversePaddedSize(int size, int stride, int extent, int style) {
    return greater(0, (size - 1) * stride + 1 + style * (extent - 1));
}

MPSVK_FUNCTION int paddingOffset(int size, int result, int stride, int extent, int alignment,
                                 int remainderFirst) {
    // Negative when the windows leave source pixels over.
    int missing = (result - 1) * stride + extent - size;
    int before = truncatedHalf(missing + remainderFirst);
    if (alignment == 1) {
        before = missing;
    }
    if (alignment == 2) {
        before = 0;
    }
    return extent / 2 - before;
}

// Counted in pixels of the spread source: offset * stride + kernelOffset.
MPSVK_FUNCTION int reversePaddingOffset(int size, int result, int stride, int extent, int alignment,
                                        int remainderFirst) {
    return paddingOffset((size - 1) * stride + 1, result, 1, extent, alignment, remainderFirst);
}

// ---- gradients ---------------------------------------------------------------------------------

// What a convolution gradient's kernelOffset must be for a forward offset, primaryOffset being 0.
MPSVK_FUNCTION int gradientKernelOffset(int offset, int extent) { return 1 - extent % 2 - offset; }

// The forward offset that a data gradient configured by hand undoes.
MPSVK_FUNCTION int forwardOffset(int primaryOffset, int stride, int kernelOffset, int extent) {
    return 1 - extent % 2 - (primaryOffset * stride + kernelOffset);
}

// What a weights gradient's secondaryOffset must be for a forward offset.
MPSVK_FUNCTION int gradientSecondaryOffset(int offset, int extent) {
    return windowStart(offset, extent);
}

// Tap 0 of the window of result 0 of a transposed convolution, in pixels of the spread source.
MPSVK_FUNCTION int transposeStart(int offset, int stride, int kernelOffset, int extent) {
    return windowStart(offset * stride + kernelOffset, extent);
}

// The start of window 0 of the convolution whose adjoint a transposed convolution is, its taps being
// taken in reverse order.
MPSVK_FUNCTION int transposeOrigin(int offset, int stride, int kernelOffset, int extent) {
    return -transposeStart(offset, stride, kernelOffset, extent) - (extent - 1);
}

// The source pixel that a position of the spread source holds, or -1 for a zero.
MPSVK_FUNCTION int spreadSource(int position, int stride, int size) {
    if (position < 0 || position > (size - 1) * stride) {
        return -1;
    }
    return position % stride == 0 ? position / stride : -1;
}

// ---- adjoints: all windows and taps that read a source pixel -----------------------------------
// The positions that the edge mode maps to a pixel form a range [low, high]: the pixel itself, and
// for Clamp at the first or last pixel also everything beyond it. The windows that read the pixel
// are firstWindow ... lastWindow; of a window that starts at `begin`, taps firstTap ... lastTap do.
// Both ranges may be empty.

MPSVK_FUNCTION int lowPosition(int pixel, int start, int clampEdges) {
    return clampEdges != 0 && pixel == 0 ? lesser(start, 0) : pixel;
}

// reach: the position of the last tap of the last window.
MPSVK_FUNCTION int highPosition(int pixel, int size, int reach, int clampEdges) {
    return clampEdges != 0 && pixel == size - 1 ? greater(reach, pixel) : pixel;
}

MPSVK_FUNCTION int windowReach(int start, int stride, int extent, int windows) {
    return start + stride * (windows - 1) + extent - 1;
}

MPSVK_FUNCTION int firstWindow(int low, int start, int stride, int extent) {
    return greater(0, ceilDivide(low - start - (extent - 1), stride));
}

MPSVK_FUNCTION int lastWindow(int high, int start, int stride, int windows) {
    return lesser(windows - 1, floorDivide(high - start, stride));
}

MPSVK_FUNCTION int firstTap(int low, int begin, int dilation) {
    return greater(0, ceilDivide(low - begin, dilation));
}

MPSVK_FUNCTION int lastTap(int high, int begin, int dilation, int taps) {
    return lesser(taps - 1, floorDivide(high - begin, dilation));
}

// The one window whose tap reads the position, or -1.
MPSVK_FUNCTION int windowOfTap(int position, int start, int stride, int dilation, int tap,
                               int windows) {
    return spreadSource(position - start - dilation * tap, stride, windows);
}

// ---- pooling -----------------------------------------------------------------------------------

// The pixels that a window of average pooling counts under Clamp, padding included.
MPSVK_FUNCTION int averageCount(int begin, int taps, int size, int padding) {
    int low = greater(begin, -padding);
    int high = lesser(begin + taps - 1, size - 1 + padding);
    return greater(0, high - low + 1);
}

// The source pixel that the first pixel of a pooling gradient's clip rectangle stands for.
MPSVK_FUNCTION int poolingGradientOrigin(int secondaryOffset, int extent) {
    return greater(0, windowStart(secondaryOffset, extent));
}

// ---- edges -------------------------------------------------------------------------------------
// Each maps any integer to 0 ... size - 1.

MPSVK_FUNCTION int clampIndex(int i, int size) { return lesser(greater(i, 0), size - 1); }

// The edge pixel is not repeated.
MPSVK_FUNCTION int mirrorIndex(int i, int size) {
    int period = greater(1, 2 * (size - 1));
    int r = floorModulo(i, period);
    return r < size ? r : period - r;
}

MPSVK_FUNCTION int mirrorWithEdgeIndex(int i, int size) {
    int r = floorModulo(i, 2 * size);
    return r < size ? r : 2 * size - 1 - r;
}

MPSVK_SHARED_END

#endif
