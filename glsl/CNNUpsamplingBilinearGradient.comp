// dx = the sum of dy over the results that were sampled near the pixel, each by its nearness.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "upsampling.glsl"

layout(set = 0, binding = 0) uniform Parameters { CNNUpsamplingGradientParameters p; };
IMAGE_SOURCE(1, gradient)
IMAGE_DESTINATION(2, destination)

struct Results {
    int first, end;
};

// Those between the pixels on either side; an edge pixel has all that lie beyond it.
Results resultsOf(int pixel, int size, int offset, Scale s, int first, int end, int reach) {
    int position = pixel - offset;
    return Results(pixel == 0 ? first : max(first, firstBeyond(s, position - 1, reach)),
                   pixel == size - 1 ? end : min(end, firstAt(s, position + 1, reach)));
}

float weight(int pixel, int size, int offset, Scale s, int result) {
    int whole = offset + wholePart(s, uint(result));
    float part = fraction(s, uint(result));
    return (clampIndex(whole, size) == pixel ? 1.0 - part : 0.0) +
           (clampIndex(whole + 1, size) == pixel ? part : 0.0);
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
                rowSum += weight(x, p.sourceWidth, p.offsetX, sx, column) *
                          gradient_load(p.gradient, p.gradientX + column, p.gradientY + row, at.slice, at.image);
            sum += weight(y, p.sourceHeight, p.offsetY, sy, row) * rowSum;
        }
    }
    destination_store(p.destination, p.clipX + at.x, p.clipY + at.y, at.slice, at.image, sum);
}
