// y[m] = f(bias + sum over taps and input channels of W * x). Pixels are windows, counted from the
// origin of the clip rectangle; a sub-pixel convolution has one for every scale x scale pixels.
// This is the data gradient of a transposed convolution, too.
#include "gemm.glsl"

uint subPixelScale() {
#ifdef MPSVK_TILES
    return 1u; // they are for no others, and divisions take time
#else
    return parameters.subPixelScale;
#endif
}

uint windowsX() {
    return (parameters.clipWidth + subPixelScale() - 1u) / subPixelScale();
}

uint windowsY() {
    return (parameters.clipHeight + subPixelScale() - 1u) / subPixelScale();
}

uint pixelCount() {
    return parameters.images * windowsY() * windowsX();
}

uvec2 pixelExtent() {
    return uvec2(windowsX(), windowsY());
}

ivec2 pixelPlace(Pixel pixel) {
    return ivec2(pixel.x, pixel.y);
}

TapRange tapsX() {
    return allTaps(parameters.kernelWidth);
}

TapRange tapsY() {
    return allTaps(parameters.kernelHeight);
}

ivec2 pixelBase(Pixel pixel) {
    return ivec2(pixel.x * parameters.strideX + parameters.originX,
                 pixel.y * parameters.strideY + parameters.originY);
}

ivec2 tapOffset(int r, int q) {
    return ivec2(r * parameters.dilationX, q * parameters.dilationY);
}

ivec2 tapStride(uint stepX, uint stepY) {
    return ivec2(parameters.dilationX, parameters.dilationY) * ivec2(stepX, stepY);
}

Tap tapAt(Pixel pixel, int r, int q) {
    int x = pixelBase(pixel).x + tapOffset(r, q).x;
    int y = pixelBase(pixel).y + tapOffset(r, q).y;
    int nearestX = clampIndex(x, int(parameters.source.width));
    int nearestY = clampIndex(y, int(parameters.source.height));
    bool valid = parameters.clampEdges != 0u || (x == nearestX && y == nearestY);
    return Tap(nearestX, nearestY, 0, 0, pixel.image, valid);
}

vec4 tapLoad(Tap tap, uint slice) {
    return source_load(parameters.source, tap.x, tap.y, slice, tap.image);
}

void pixelStore(Pixel pixel, uint slice, vec4 value) {
    uint scale = subPixelScale();
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
