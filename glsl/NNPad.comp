// A source with pixels and channels around it, each the value of an index of the source or a fill
// value.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "NNPad.h"
layout(local_size_x = 256) in;
#include "pixel.glsl"

layout(set = 0, binding = 0) uniform Parameters { TexelGrid grid; NNPadParameters p; };
IMAGE_SOURCE(1, source)
IMAGE_CHANNELS_READ(source)
IMAGE_DESTINATION(2, destination)
layout(set = 0, binding = 3, std430) readonly buffer FillValues { float fillValues[]; };
layout(constant_id = 32) const uint fillsByChannel = 0u;

void main() {
    uint i = gridIndex();
    if (i >= texelCount(grid)) return;
    Place at = placeOf(grid, i);
    int x = padIndex(p.mode, p.offsetX + at.x, int(p.source.width));
    int y = padIndex(p.mode, p.offsetY + at.y, int(p.source.height));
    int channels = int(p.source.channels);
    uint end = min(at.slice * 4u + 4u, p.destination.channels);
    int first = int(at.slice * 4u) - p.before;
    bool inPlane = x >= 0 && y >= 0;
    vec4 value = vec4(p.fillValue);
    if (inPlane && first >= 0 && int(end) - p.before <= channels) {
        value = source_channels(p.source, x, y, uint(first), at.image);
    } else {
        for (uint channel = at.slice * 4u; channel < end; ++channel) {
            int c = inPlane ? padIndex(p.mode, int(channel) - p.before, channels) : -1;
            if (c >= 0)
                value[channel & 3u] = source_channels(p.source, x, y, uint(c), at.image).x;
            else if (fillsByChannel != 0u)
                value[channel & 3u] = fillValues[channel];
        }
    }
    destination_store(p.destination, p.clipX + at.x, p.clipY + at.y, at.slice, at.image, value);
}
