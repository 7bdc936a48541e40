// As CNNUpsamplingBilinearGradient, in strips of pixels of the source, where factors are whole and
// result 0 lies on pixel 0: then pixel x has the results beyond x - 1 and before x + 1, of which only
// those left of the first pixel do not exist. An invocation walks down the rows of results, reads each
// once, sums it along the row, and adds that to the two rows of pixels that it lies between.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "upsampling.glsl"

layout(set = 0, binding = 0) uniform Parameters { TexelGrid grid; CNNUpsamplingGradientParameters p; };
IMAGE_SOURCE(1, gradient)
IMAGE_DESTINATION(2, destination)

// The most of these that there may be: GLSL does not copy arrays whose size is to be specialized.
const uint mostWidth = 2u, mostFactor = 4u, mostTaps = (mostWidth + 1u) * mostFactor - 1u;
// Of a strip, in pixels; the height is even.
layout(constant_id = 36) const uint width = 1u;
layout(constant_id = 37) const uint height = 2u;

const uint factorX = constantPerX + uint(constantPerX == 0u), factorY = constantPerY + uint(constantPerY == 0u);
const uint taps = (width + 1u) * factorX - 1u;

struct Row {
    vec4 pixels[mostWidth];
};

#define EACH_PIXEL(B) [[unroll]] for (uint B = 0u; B < width; ++B)

Row zeros() {
    Row row;
    EACH_PIXEL(b) row.pixels[b] = vec4(0.0);
    return row;
}

void add(inout Row to, float weight, Row row) {
    EACH_PIXEL(b) to.pixels[b] += weight * row.pixels[b];
}

struct Strip {
    Place at;
    int columns[mostTaps]; // of results, counted from the gradient's first pixel
    bool hasLeft;          // results left of its first pixel
    float right[mostWidth][mostFactor]; // the weights of a pixel's results, the first of which lies on it
};

Strip stripOf(Place at) {
    Strip s;
    s.at = at;
    int x = at.x * int(width);
    [[unroll]] for (int c = 0; c < int(taps); ++c)
        s.columns[c] = p.gradientX + clamp((x - 1) * int(factorX) + 1 + c, 0, p.endX - 1);
    s.hasLeft = x > 0;
    // Results beyond the last pixel are its own.
    EACH_PIXEL(b)
        [[unroll]] for (uint k = 0u; k < factorX; ++k)
            s.right[b][k] = x + int(b) == p.sourceWidth - 1 ? 1.0 : float(factorX - k) / float(factorX);
    return s;
}

// `start` is where a buffer has the row. Lanes that are no channels are not cleared.
vec4 resultAt(Place at, uint start, int x, int y) {
#ifdef MPSVK_TEXTURES
    if (gradient_storage == STORAGE_TEXTURE) return gradient_load(p.gradient, x, y, at.slice, at.image);
#endif
    return gradient_at(start + uint(x) * p.gradient.slices);
}

// The sums along a row of results.
Row sumsOf(Strip s, int result) {
    int y = p.gradientY + clamp(result, 0, p.endY - 1);
    uint start = texelIndex(p.gradient, 0, y, s.at.slice, s.at.image);
    vec4 g[mostTaps];
    [[unroll]] for (uint c = 0u; c < taps; ++c) g[c] = resultAt(s.at, start, s.columns[c], y);
    Row sums;
    EACH_PIXEL(b) {
        uint c = (b + 1u) * factorX - 1u;
        vec4 sum = g[c];
        [[unroll]] for (uint k = 1u; k < factorX; ++k) sum += s.right[b][k] * g[c + k];
        // What was read instead may be no number.
        if (b > 0u || s.hasLeft)
            [[unroll]] for (uint k = 1u; k < factorX; ++k)
                sum += float(factorX - k) / float(factorX) * g[c - k];
        sums.pixels[b] = sum;
    }
    return sums;
}

void main() {
    uint i = gridIndex();
    if (i >= texelCount(grid)) return;
    Strip s = stripOf(placeOf(grid, i));
    int x = s.at.x * int(width), top = s.at.y * int(height);
    Row sums[2] = Row[2](zeros(), zeros()); // of a row of pixels and the next one
    for (int k = 1; k < int(factorY); ++k) {
        Row above = sumsOf(s, (top - 1) * int(factorY) + k);
        if (top > 0) add(sums[0], float(k) / float(factorY), above);
    }
    for (int j = 0; j < int(height) && top + j < int(p.clipHeight); j += 2)
        [[unroll]] for (int parity = 0; parity < 2; ++parity) {
            int y = top + j + parity;
            add(sums[parity], 1.0, sumsOf(s, y * int(factorY)));
            sums[1 - parity] = zeros();
            for (int k = 1; k < int(factorY); ++k) {
                Row below = sumsOf(s, y * int(factorY) + k);
                add(sums[parity], y == p.sourceHeight - 1 ? 1.0 : float(int(factorY) - k) / float(factorY),
                    below);
                add(sums[1 - parity], float(k) / float(factorY), below);
            }
            EACH_PIXEL(b) {
                int toX = x + int(b);
                if (toX >= int(p.clipWidth) || y >= int(p.clipHeight)) continue;
                destination_store(p.destination, p.clipX + toX, p.clipY + y, s.at.slice, s.at.image,
                                  usedLanes(p.gradient, s.at.slice, sums[parity].pixels[b]));
            }
        }
}
