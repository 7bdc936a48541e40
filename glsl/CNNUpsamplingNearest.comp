// y[i] = x[i / factor].
#version 450
#extension GL_GOOGLE_include_directive : require
#include "upsampling.glsl"

layout(set = 0, binding = 0) uniform Parameters { TexelGrid grid; CNNUpsamplingParameters p; };
IMAGE_SOURCE(1, source)
IMAGE_EDGE_READ(source)
IMAGE_DESTINATION(2, destination)

void main() {
    uint i = gridIndex();
    if (i >= texelCount(grid)) return;
    Place at = placeOf(grid, i);
    int x = p.offsetX + wholePart(scaleX(p.stepX, p.perX), uint(at.x));
    int y = p.offsetY + wholePart(scaleY(p.stepY, p.perY), uint(at.y));
    destination_storeTexels(p.destination, p.clipX + at.x, p.clipY + at.y, at.slice, at.image,
                            source_readTexels(p.source, x, y, at.slice, at.image, p.clampEdges));
}
