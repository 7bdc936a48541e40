// dx = the sum of dy over the results that were sampled near the pixel, each by its nearness.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "upsampling.glsl"

layout(set = 0, binding = 0) uniform Parameters { TexelGrid grid; CNNUpsamplingGradientParameters p; };
IMAGE_SOURCE(1, gradient)
IMAGE_DESTINATION(2, destination)

// The results along one axis that were sampled between the pixels on either side of a pixel; an edge
// pixel has all that lie beyond it. Result x lies x * step - here from the pixel, in parts of a
// pixel of which there are `per`.
struct Results {
    int first, end;
    int here;
    int lowest, highest; // distances beyond these count as these
};

Results resultsOf(int pixel, int size, int offset, Scale s, int first, int end, int reach) {
    // Farther away than any result all is the same, and no product overflows.
    int position = clamp(pixel - offset, -2, reach + 2);
    bool isFirst = pixel == 0, isLast = pixel == size - 1;
    return Results(isFirst ? first : max(first, firstBeyond(s, position - 1, reach)),
                   isLast ? end : min(end, firstAt(s, position + 1, reach)), position * int(s.per),
                   isFirst ? 0 : -int(s.per), isLast ? 0 : int(s.per));
}

// 0 where the result belongs to other pixels only.
float weight(Results r, Scale s, int result) {
    int distance = clamp(result * int(s.step) - r.here, r.lowest, r.highest);
    return float(max(int(s.per) - abs(distance), 0)) / float(s.per);
}

// Neighbours in a row that an invocation has: they share most of what they read.
layout(constant_id = 36) const uint width = 1u;
// Results along a row that they read at once: all of them, or equal shares where they are many.
const uint anyStep = constantStepX + uint(constantStepX == 0u), anyPer = constantPerX + uint(constantPerX == 0u);
const uint taps = ((width + 1u) * anyPer + anyStep - 1u) / anyStep - uint(anyPer % anyStep == 0u);
const uint turns = (taps + 5u) / 6u;
const uint atOnce = constantPerX == 0u ? 4u : (taps + turns - 1u) / turns;

bool isSource(int x, int y) { return x < p.sourceWidth && y < p.sourceHeight; }

void main() {
    uint i = gridIndex();
    if (i >= texelCount(grid)) return;
    Place at = placeOf(grid, i);
    at.x *= int(width);
    int x = p.originX + at.x, y = p.originY + at.y;
    Scale sx = scaleX(p.stepX, p.perX), sy = scaleY(p.stepY, p.perY);
    Results columns[width];
    Results rows = resultsOf(min(y, p.sourceHeight - 1), p.sourceHeight, p.offsetY, sy, p.firstY, p.endY,
                             p.reachY);
    vec4 sum[width];
    [[unroll]] for (uint b = 0u; b < width; ++b) {
        columns[b] = resultsOf(min(x + int(b), p.sourceWidth - 1), p.sourceWidth, p.offsetX, sx, p.firstX,
                               p.endX, p.reachX);
        sum[b] = vec4(0.0);
    }

    int end = columns[width - 1u].end;
    if (!isSource(x, y)) end = columns[0].first;
    for (int first = columns[0].first; first < end; first += int(atOnce)) {
        float near[width][atOnce];
        [[unroll]] for (uint b = 0u; b < width; ++b)
            [[unroll]] for (uint c = 0u; c < atOnce; ++c)
                near[b][c] = first + int(c) < end ? weight(columns[b], sx, first + int(c)) : 0.0;
        for (int row = rows.first; row < rows.end; ++row) {
            vec4 g[atOnce];
            [[unroll]] for (uint c = 0u; c < atOnce; ++c)
                g[c] = gradient_load(p.gradient, p.gradientX + min(first + int(c), end - 1),
                                     p.gradientY + row, at.slice, at.image);
            vec4 rowSum[width];
            // What has no weight may be no number.
            [[unroll]] for (uint b = 0u; b < width; ++b) {
                rowSum[b] = vec4(0.0);
                [[unroll]] for (uint c = 0u; c < atOnce; ++c)
                    if (near[b][c] > 0.0) rowSum[b] += near[b][c] * g[c];
            }
            float nearRow = weight(rows, sy, row);
            if (nearRow > 0.0)
                [[unroll]] for (uint b = 0u; b < width; ++b) sum[b] += nearRow * rowSum[b];
        }
    }
    [[unroll]] for (uint b = 0u; b < width; ++b) {
        int toX = at.x + int(b);
        if (toX < int(p.clipWidth)) {
            if (!isSource(p.originX + toX, y)) sum[b] = vec4(0.0);
            destination_store(p.destination, p.clipX + toX, p.clipY + at.y, at.slice, at.image, sum[b]);
        }
    }
}
