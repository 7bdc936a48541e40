// y = e^(x - m) / s or, as a logarithm, x - m - ln s, with m the largest x and s the sum of e^(x - m).
#include "softmax.glsl"

layout(set = 0, binding = 0) uniform Parameters { CNNSoftMaxParameters p; };
IMAGE_SOURCE(1, source)
IMAGE_EDGE_READ(source)
IMAGE_DESTINATION(2, destination)
layout(constant_id = 32) const uint logarithm = 0u;

Place at;

vec4 load(uint slice) {
    return source_read(p.source, p.offsetX + at.x, p.offsetY + at.y, slice, at.image, p.clampEdges);
}

float larger(float most, vec4 v, uint slice) {
    return max(most, lanesMax(mix(vec4(most), v, isChannel(slice, p.source.channels))));
}

float exponentials(vec4 v, float most, uint slice) {
    return lanesSum(mix(vec4(0.0), exp(v - most), isChannel(slice, p.source.channels)));
}

void store(uint slice, vec4 v, float most, float sum, float logarithmOfSum) {
    v -= most;
    destination_store(p.destination, p.clipX + at.x, p.clipY + at.y, slice, at.image,
                      logarithm != 0u ? v - logarithmOfSum : exp(v) / sum);
}

void main() {
    uint pixel = pixelIndex();
    if (pixel >= p.clipWidth * p.clipHeight * p.images) return; // for a workgroup: all of it
    at = placeOf(pixel, 1u, p.clipWidth, p.clipHeight);
    uint slices = (p.source.channels + 3u) / 4u;

    vec4 kept[keptSlices];
    float most = -3.402823466e38;
    for (uint k = 0u; k < keptSlices; ++k)
        if (keptSlice(k) < slices) {
            kept[k] = load(keptSlice(k));
            most = larger(most, kept[k], keptSlice(k));
        }
    for (uint slice = keptSlice(keptSlices); slice < slices; slice += channelStep)
        most = larger(most, load(slice), slice);
    most = overChannelsMax(most);

    float sum = 0.0;
    for (uint k = 0u; k < keptSlices; ++k)
        if (keptSlice(k) < slices) sum += exponentials(kept[k], most, keptSlice(k));
    for (uint slice = keptSlice(keptSlices); slice < slices; slice += channelStep)
        sum += exponentials(load(slice), most, slice);
    sum = overChannelsSum(sum);

    float logarithmOfSum = log(sum);
    for (uint k = 0u; k < keptSlices; ++k)
        if (keptSlice(k) < slices) store(keptSlice(k), kept[k], most, sum, logarithmOfSum);
    for (uint slice = keptSlice(keptSlices); slice < slices; slice += channelStep)
        store(slice, load(slice), most, sum, logarithmOfSum);
}
