// dx[t] = sum over taps and output channels of W * E[i], i * stride + origin + dilation * tap = t.
// Pixels of dx whose coordinates agree modulo the stride need the same taps, so each such phase is
// a product of its own without wasted taps. The adjoint of clamped edges adds to the first and the
// last pixel what was read beyond them; there phases do not help, all pixels run as one.
// A transposed convolution is such an adjoint, too, with a bias and a neuron.
#include "gemm.glsl"

layout(constant_id = 37) const bool CLAMP_EDGES = false;
// The strides, where divisions by them are to take no time; or 0.
layout(constant_id = 49) const int STRIDE_X = 0;
layout(constant_id = 50) const int STRIDE_Y = 0;

int strideX() {
    return STRIDE_X != 0 ? STRIDE_X : parameters.strideX;
}

int strideY() {
    return STRIDE_Y != 0 ? STRIDE_Y : parameters.strideY;
}

int phaseX() {
    return CLAMP_EDGES ? 0 : int(phase()) % strideX();
}

int phaseY() {
    return CLAMP_EDGES ? 0 : int(phase()) / strideX();
}

int spacingX() {
    return CLAMP_EDGES ? 1 : strideX();
}

int spacingY() {
    return CLAMP_EDGES ? 1 : strideY();
}

uint phaseWidth() {
    return uint(greater(0, ceilDivide(int(parameters.clipWidth) - phaseX(), spacingX())));
}

uint phaseHeight() {
    return uint(greater(0, ceilDivide(int(parameters.clipHeight) - phaseY(), spacingY())));
}

uint pixelCount() {
    return parameters.images * phaseHeight() * phaseWidth();
}

uvec2 pixelExtent() {
    return uvec2(phaseWidth(), phaseHeight());
}

ivec2 pixelPlace(Pixel pixel) {
    return ivec2(pixel.x * spacingX() + phaseX(), pixel.y * spacingY() + phaseY());
}

TapRange tapsX() {
    if (CLAMP_EDGES) {
        return allTaps(parameters.kernelWidth);
    }
    return tapsOfPhase(parameters.originX, strideX(), parameters.dilationX,
                       int(parameters.kernelWidth), phaseX());
}

TapRange tapsY() {
    if (CLAMP_EDGES) {
        return allTaps(parameters.kernelHeight);
    }
    return tapsOfPhase(parameters.originY, strideY(), parameters.dilationY,
                       int(parameters.kernelHeight), phaseY());
}

// First and last window of an axis that read `pixel` with a tap.
ivec2 windowsOfTap(int pixel, int size, int windows, int origin, int stride, int extent,
                   int begin) {
    int reach = windowReach(origin, stride, extent, windows);
    return ivec2(firstWindowOfTap(pixel, 1, origin, stride, begin),
                 lastWindowOfTap(pixel, size, 1, reach, stride, begin, windows));
}

ivec2 pixelBase(Pixel pixel) {
    return ivec2(pixel.x, pixel.y);
}

// Exact: a phase has only taps that hit.
ivec2 tapOffset(int r, int q) {
    int beginX = parameters.originX + parameters.dilationX * r;
    int beginY = parameters.originY + parameters.dilationY * q;
    return ivec2(floorDivide(phaseX() - beginX, strideX()),
                 floorDivide(phaseY() - beginY, strideY()));
}

ivec2 tapStride(uint stepX, uint stepY) {
    return -ivec2(parameters.dilationX * int(stepX) / strideX(),
                  parameters.dilationY * int(stepY) / strideY());
}

Tap tapAt(Pixel pixel, int r, int q) {
    int width = int(parameters.source.width);
    int height = int(parameters.source.height);
    if (CLAMP_EDGES) {
        // Where the tap of window 0 reads.
        int beginX = parameters.originX + parameters.dilationX * r;
        int beginY = parameters.originY + parameters.dilationY * q;
        int extentX = dilatedExtent(int(parameters.kernelWidth), parameters.dilationX);
        int extentY = dilatedExtent(int(parameters.kernelHeight), parameters.dilationY);
        ivec2 x = windowsOfTap(pixel.x, int(parameters.edgeWidth), width,
                               parameters.originX, strideX(), extentX, beginX);
        ivec2 y = windowsOfTap(pixel.y, int(parameters.edgeHeight), height,
                               parameters.originY, strideY(), extentY, beginY);
        return Tap(x[0], y[0], x[1], y[1], pixel.image, x[0] <= x[1] && y[0] <= y[1]);
    }
    int x = pixelBase(pixel).x + tapOffset(r, q).x;
    int y = pixelBase(pixel).y + tapOffset(r, q).y;
    bool valid = x >= 0 && x < width && y >= 0 && y < height;
    return Tap(x, y, x, y, pixel.image, valid);
}

vec4 tapLoad(Tap tap, uint slice) {
    if (!CLAMP_EDGES) {
        return source_load(parameters.source, tap.x, tap.y, slice, tap.image);
    }
    vec4 sum = vec4(0.0);
    for (int y = tap.y; y <= tap.lastY; ++y) {
        for (int x = tap.x; x <= tap.lastX; ++x) {
            sum += source_load(parameters.source, x, y, slice, tap.image);
        }
    }
    return sum;
}

void pixelStore(Pixel pixel, uint slice, vec4 value) {
    ivec2 at = ivec2(parameters.clipX, parameters.clipY) + pixelPlace(pixel);
    destination_store(parameters.destination, at.x, at.y, slice, pixel.image, value);
}

void main() {
    gemmRun();
}
