// y = e^(x - m) / s or, as a logarithm, x - m - ln s, with m the largest x and s the sum of e^(x - m).
#include "softmax.glsl"

layout(set = 0, binding = 0) uniform Parameters { CNNSoftMaxParameters p; };
IMAGE_SOURCE(1, source)
IMAGE_EDGE_READ(source)
IMAGE_DESTINATION(2, destination)
layout(constant_id = 32) const uint logarithm = 0u;

void main() {
    uint pixel = pixelIndex();
    if (pixel >= p.clipWidth * p.clipHeight * p.images) return; // for a workgroup: all of it
    Place at = placeOf(pixel, 1u, p.clipWidth, p.clipHeight);
    uint slices = (p.source.channels + 3u) / 4u;
    int x = p.offsetX + at.x, y = p.offsetY + at.y;

    float most = -3.402823466e38;
    for (uint slice = channelFirst(); slice < slices; slice += channelStep) {
        vec4 v = source_read(p.source, x, y, slice, at.image, p.clampEdges);
        most = max(most, lanesMax(mix(vec4(most), v, isChannel(slice, p.source.channels))));
    }
    most = overChannelsMax(most);

    float sum = 0.0;
    for (uint slice = channelFirst(); slice < slices; slice += channelStep) {
        vec4 v = source_read(p.source, x, y, slice, at.image, p.clampEdges);
        sum += lanesSum(mix(vec4(0.0), exp(v - most), isChannel(slice, p.source.channels)));
    }
    sum = overChannelsSum(sum);

    float logarithmOfSum = log(sum);
    for (uint slice = channelFirst(); slice < slices; slice += channelStep) {
        vec4 v = source_read(p.source, x, y, slice, at.image, p.clampEdges) - most;
        destination_store(p.destination, p.clipX + at.x, p.clipY + at.y, slice, at.image,
                          logarithm != 0u ? v - logarithmOfSum : exp(v) / sum);
    }
}
