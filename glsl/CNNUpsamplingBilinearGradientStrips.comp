// As CNNUpsamplingBilinearGradient, where factors are whole and result 0 lies on pixel 0: then pixel x has
// the results beyond x - 1 and before x + 1, of which only those left of the first pixel do not exist. An
// invocation has two pixels, one above the other. It reads each row of results once, sums it along the
// row, and adds that to the pixels that it lies between.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "upsampling.glsl"

layout(set = 0, binding = 0) uniform Parameters { TexelGrid grid; CNNUpsamplingGradientParameters p; };
IMAGE_SOURCE(1, gradient)
IMAGE_DESTINATION(2, destination)

const uint factorX = constantPerX + uint(constantPerX == 0u), factorY = constantPerY + uint(constantPerY == 0u);
// GLSL does not copy arrays whose size is to be specialized.
const uint mostFactor = 4u, mostTaps = 2u * mostFactor - 1u;
const uint taps = 2u * factorX - 1u;

Place at;
int columns[mostTaps];   // of results, counted from the gradient's first pixel
bool hasLeft;            // results left of the pixel
float right[mostFactor]; // the weights of the others, the first of which lies on the pixel

void findColumns() {
    [[unroll]] for (int c = 0; c < int(taps); ++c)
        columns[c] = p.gradientX + clamp((at.x - 1) * int(factorX) + 1 + c, 0, p.endX - 1);
    hasLeft = at.x > 0;
    // Results beyond the last pixel are its own.
    [[unroll]] for (uint k = 0u; k < factorX; ++k)
        right[k] = at.x == p.sourceWidth - 1 ? 1.0 : float(factorX - k) / float(factorX);
}

// `start` is where a buffer has the row. Lanes that are no channels are not cleared.
vec4 resultAt(uint start, int x, int y) {
#ifdef MPSVK_TEXTURES
    if (gradient_storage == STORAGE_TEXTURE) return gradient_load(p.gradient, x, y, at.slice, at.image);
#endif
    return gradient_at(start + uint(x) * p.gradient.slices);
}

// Along a row of results.
vec4 rowSum(int result) {
    int y = p.gradientY + clamp(result, 0, p.endY - 1);
    uint start = texelIndex(p.gradient, 0, y, at.slice, at.image), middle = factorX - 1u;
    vec4 g[mostTaps];
    [[unroll]] for (uint c = 0u; c < taps; ++c) g[c] = resultAt(start, columns[c], y);
    vec4 sum = g[middle];
    [[unroll]] for (uint k = 1u; k < factorX; ++k) sum += right[k] * g[middle + k];
    // What was read instead may be no number.
    if (hasLeft)
        [[unroll]] for (uint k = 1u; k < factorX; ++k)
            sum += float(factorX - k) / float(factorX) * g[middle - k];
    return sum;
}

// Of the k-th row of results below a pixel, as the pixel above it has it.
float weightAbove(int y, int k) {
    return y == p.sourceHeight - 1 ? 1.0 : float(int(factorY) - k) / float(factorY);
}
float weightBelow(int k) { return float(k) / float(factorY); }

void main() {
    uint i = gridIndex();
    if (i >= texelCount(grid)) return;
    at = placeOf(grid, i);
    findColumns();
    int y = 2 * at.y, first = y * int(factorY), end = int(factorY);
    vec4 upper = vec4(0.0), lower = vec4(0.0);
    for (int k = 1; k < end; ++k) {
        vec4 above = rowSum(first - end + k);
        if (y > 0) upper += weightBelow(k) * above;
    }
    upper += rowSum(first);
    for (int k = 1; k < end; ++k) {
        vec4 between = rowSum(first + k);
        upper += weightAbove(y, k) * between;
        lower += weightBelow(k) * between;
    }
    lower += rowSum(first + end);
    for (int k = 1; k < end; ++k) lower += weightAbove(y + 1, k) * rowSum(first + end + k);

    if (at.x >= int(p.clipWidth)) return;
    if (y < int(p.clipHeight))
        destination_store(p.destination, p.clipX + at.x, p.clipY + y, at.slice, at.image,
                          usedLanes(p.gradient, at.slice, upper));
    if (y + 1 < int(p.clipHeight))
        destination_store(p.destination, p.clipX + at.x, p.clipY + y + 1, at.slice, at.image,
                          usedLanes(p.gradient, at.slice, lower));
}
