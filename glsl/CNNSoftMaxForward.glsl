// y = e^(x - m) / s or, as a logarithm, x - m - ln s, with m the largest x and s the sum of e^(x - m).
#include "softmax.glsl"

layout(set = 0, binding = 0) uniform Parameters { TexelGrid grid; CNNSoftMaxParameters p; };
IMAGE_SOURCE(1, source)
IMAGE_EDGE_READ(source)
IMAGE_DESTINATION(2, destination)
layout(constant_id = 32) const uint logarithm = 0u;

Place at;

vec4[2] load(uint slice) {
    return source_readTexels(p.source, p.offsetX + at.x, p.offsetY + at.y, slice, at.image, p.clampEdges);
}

float larger(float most, vec4 v[2], uint slice) {
    EACH_TEXEL(k)
        most = max(most, lanesMax(mix(vec4(most), v[k], isChannel(slice + k, p.source.channels))));
    return most;
}

// The sum of e^(v - most); v becomes that, or the logarithm of it.
float takeExponentials(inout vec4 v[2], float most, uint slice) {
    float sum = 0.0;
    EACH_TEXEL(k) {
        vec4 below = v[k] - most, exponentials = exp(below);
        sum += lanesSum(mix(vec4(0.0), exponentials, isChannel(slice + k, p.source.channels)));
        v[k] = logarithm != 0u ? below : exponentials;
    }
    return sum;
}

void store(uint slice, vec4 v[2], float inverseSum, float logarithmOfSum) {
    EACH_TEXEL(k) v[k] = logarithm != 0u ? v[k] - logarithmOfSum : v[k] * inverseSum;
    destination_storeTexels(p.destination, p.clipX + at.x, p.clipY + at.y, slice, at.image, v);
}

void main() {
    uint pixel = pixelIndex();
    at = placeOf(grid, pixel);
    uint slices = pixel < texelCount(grid) ? (p.source.channels + 3u) / 4u : 0u;

    vec4 kept[keptSteps][2];
    float most = -3.402823466e38;
    [[unroll]] for (uint k = 0u; k < keptSteps; ++k)
        if (keptSlice(k) < slices) kept[k] = load(keptSlice(k));
    [[unroll]] for (uint k = 0u; k < keptSteps; ++k)
        if (keptSlice(k) < slices) most = larger(most, kept[k], keptSlice(k));
    for (uint slice = keptSlice(keptSteps); slice < slices; slice += channelStep)
        most = larger(most, load(slice), slice);
    most = overChannelsMax(most);

    float sum = 0.0;
    [[unroll]] for (uint k = 0u; k < keptSteps; ++k)
        if (keptSlice(k) < slices) sum += takeExponentials(kept[k], most, keptSlice(k));
    for (uint slice = keptSlice(keptSteps); slice < slices; slice += channelStep) {
        vec4 v[2] = load(slice);
        sum += takeExponentials(v, most, slice);
    }
    sum = overChannelsSum(sum);

    float inverseSum = 1.0 / sum, logarithmOfSum = log(sum);
    [[unroll]] for (uint k = 0u; k < keptSteps; ++k)
        if (keptSlice(k) < slices) store(keptSlice(k), kept[k], inverseSum, logarithmOfSum);
    for (uint slice = keptSlice(keptSteps); slice < slices; slice += channelStep) {
        vec4 v[2] = load(slice);
        takeExponentials(v, most, slice);
        store(slice, v, inverseSum, logarithmOfSum);
    }
}
