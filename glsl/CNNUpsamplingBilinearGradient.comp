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

float weight(Results r, Scale s, int result) {
    int distance = clamp(result * int(s.step) - r.here, r.lowest, r.highest);
    return float(int(s.per) - abs(distance)) / float(s.per);
}

void main() {
    uint i = gridIndex();
    if (i >= texelCount(grid)) return;
    Place at = placeOf(grid, i);
    int x = p.originX + at.x, y = p.originY + at.y;
    vec4 sum[2] = vec4[2](vec4(0.0), vec4(0.0));
    if (x < p.sourceWidth && y < p.sourceHeight) {
        Scale sx = scaleX(p.stepX, p.perX), sy = scaleY(p.stepY, p.perY);
        Results columns = resultsOf(x, p.sourceWidth, p.offsetX, sx, p.firstX, p.endX, p.reachX);
        Results rows = resultsOf(y, p.sourceHeight, p.offsetY, sy, p.firstY, p.endY, p.reachY);
        for (int first = columns.first; first < columns.end; first += 4) {
            float near[4];
            [[unroll]] for (int c = 0; c < 4; ++c)
                near[c] = first + c < columns.end ? weight(columns, sx, first + c) : 0.0;
            for (int row = rows.first; row < rows.end; ++row) {
                vec4 rowSum[2] = vec4[2](vec4(0.0), vec4(0.0));
                [[unroll]] for (int c = 0; c < 4; ++c) {
                    if (first + c >= columns.end) break;
                    vec4 g[2] = gradient_loadTexels(p.gradient, p.gradientX + first + c, p.gradientY + row, at.slice,
                                                    at.image);
                    EACH_TEXEL(k) rowSum[k] += near[c] * g[k];
                }
                float nearRow = weight(rows, sy, row);
                EACH_TEXEL(k) sum[k] += nearRow * rowSum[k];
            }
        }
    }
    destination_storeTexels(p.destination, p.clipX + at.x, p.clipY + at.y, at.slice, at.image, sum);
}
