// dx = the sum of dy over the results that repeat the pixel.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "upsampling.glsl"

layout(set = 0, binding = 0) uniform Parameters { TexelGrid grid; CNNUpsamplingGradientParameters p; };
IMAGE_SOURCE(1, gradient)
IMAGE_DESTINATION(2, destination)

struct Results {
    int first, end;
};

Results resultsOf(int pixel, int size, int offset, Scale s, int first, int end, int reach) {
    int position = pixel - offset;
    bool takesAllBefore = p.clampEdges != 0u && pixel == 0;
    bool takesAllAfter = p.clampEdges != 0u && pixel == size - 1;
    return Results(takesAllBefore ? first : max(first, firstAt(s, position, reach)),
                   takesAllAfter ? end : min(end, firstAt(s, position + 1, reach)));
}

void main() {
    uint i = gridIndex();
    if (i >= texelCount(grid)) return;
    Place at = placeOf(grid, i);
    int x = p.originX + at.x, y = p.originY + at.y;
    vec4 sum[2] = vec4[2](vec4(0.0), vec4(0.0));
    if (x < p.sourceWidth && y < p.sourceHeight) {
        Results columns = resultsOf(x, p.sourceWidth, p.offsetX, scaleX(p.stepX, p.perX), p.firstX, p.endX,
                                    p.reachX);
        Results rows = resultsOf(y, p.sourceHeight, p.offsetY, scaleY(p.stepY, p.perY), p.firstY, p.endY,
                                 p.reachY);
        for (int row = rows.first; row < rows.end; ++row)
            for (int column = columns.first; column < columns.end; ++column) {
                vec4 g[2] = gradient_loadTexels(p.gradient, p.gradientX + column, p.gradientY + row, at.slice,
                                                at.image);
                EACH_TEXEL(k) sum[k] += g[k];
            }
    }
    destination_storeTexels(p.destination, p.clipX + at.x, p.clipY + at.y, at.slice, at.image, sum);
}
