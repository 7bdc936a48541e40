// y[m] = f(bias + sum over taps and input channels of W * x). Pixels are windows, counted from the
// origin of the clip rectangle; a sub-pixel convolution has one for every scale x scale pixels.
// This is the data gradient of a transposed convolution, too.
#include "gemm.glsl"

uint windowsX() {
    return (parameters.clipWidth + parameters.subPixelScale - 1u) / parameters.subPixelScale;
}

uint windowsY() {
    return (parameters.clipHeight + parameters.subPixelScale - 1u) / parameters.subPixelScale;
}

uint pixelCount() {
    return parameters.images * windowsY() * windowsX();
}

Pixel pixelAt(uint row) {
    uint line = row / windowsX();
    uint image = line / windowsY();
    return Pixel(int(row - line * windowsX()), int(line - image * windowsY()), image, true);
}

TapRange tapsX() {
    return allTaps(parameters.kernelWidth);
}

TapRange tapsY() {
    return allTaps(parameters.kernelHeight);
}

Tap tapAt(Pixel pixel, int r, int q) {
    int x = pixel.x * parameters.strideX + parameters.originX + r * parameters.dilationX;
    int y = pixel.y * parameters.strideY + parameters.originY + q * parameters.dilationY;
    int nearestX = clampIndex(x, int(parameters.source.width));
    int nearestY = clampIndex(y, int(parameters.source.height));
    bool valid = parameters.clampEdges != 0u || (x == nearestX && y == nearestY);
    return Tap(nearestX, nearestY, 0, 0, pixel.image, valid);
}

vec4 tapLoad(Tap tap, uint slice) {
    return source_load(parameters.source, tap.x, tap.y, slice, tap.image);
}

void pixelStore(Pixel pixel, uint slice, vec4 value) {
    uint scale = parameters.subPixelScale;
    uint blockSlices = parameters.resultSlices / (scale * scale);
    uint block = slice / blockSlices;
    uint x = uint(pixel.x) * scale + block % scale;
    uint y = uint(pixel.y) * scale + block / scale;
    if (x < parameters.clipWidth && y < parameters.clipHeight) {
        destination_store(parameters.destination, int(parameters.clipX + x),
                          int(parameters.clipY + y), slice % blockSlices, pixel.image, value);
    }
}

void main() {
    gemmRun();
}
