// dx = the sum of dy over the results that were sampled near the pixel, each by its nearness.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "upsampling.glsl"

layout(set = 0, binding = 0) uniform Parameters { CNNUpsamplingGradientParameters p; };
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
    uint slices = (p.destination.channels + 3u) / 4u;
    uint i = gridIndex();
    if (i >= slices * p.clipWidth * p.clipHeight * p.images) return;
    Place at = placeOf(i, slices, p.clipWidth, p.clipHeight);
    int x = p.originX + at.x, y = p.originY + at.y;
    vec4 sum = vec4(0.0);
    if (x < p.sourceWidth && y < p.sourceHeight) {
        Scale sx = scaleX(p.stepX, p.perX), sy = scaleY(p.stepY, p.perY);
        Results columns = resultsOf(x, p.sourceWidth, p.offsetX, sx, p.firstX, p.endX, p.reachX);
        Results rows = resultsOf(y, p.sourceHeight, p.offsetY, sy, p.firstY, p.endY, p.reachY);
        for (int row = rows.first; row < rows.end; ++row) {
            vec4 rowSum = vec4(0.0);
            for (int column = columns.first; column < columns.end; ++column)
                rowSum += weight(columns, sx, column) *
                          gradient_load(p.gradient, p.gradientX + column, p.gradientY + row, at.slice, at.image);
            sum += weight(rows, sy, row) * rowSum;
        }
    }
    destination_store(p.destination, p.clipX + at.x, p.clipY + at.y, at.slice, at.image, sum);
}
