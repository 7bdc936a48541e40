// dx = y * (dy - sum of dy*y) or, of the logarithm, dx = dy - e^y * sum of dy; y is the forward result.
#include "softmax.glsl"

layout(set = 0, binding = 0) uniform Parameters { CNNSoftMaxGradientParameters p; };
IMAGE_SOURCE(1, gradient)
IMAGE_EDGE_READ(gradient)
IMAGE_SOURCE(2, result)
IMAGE_EDGE_READ(result)
IMAGE_DESTINATION(3, destination)
layout(constant_id = 32) const uint logarithm = 0u;

Place at;

vec4 loadGradient(uint slice) {
    return gradient_read(p.gradient, p.gradientOffsetX + at.x, p.gradientOffsetY + at.y, slice, at.image, 0u);
}

vec4 loadResult(uint slice) {
    return result_read(p.result, p.resultOffsetX + at.x, p.resultOffsetY + at.y, slice, at.image, 0u);
}

float summand(vec4 g, vec4 y, uint slice) {
    if (logarithm == 0u) g *= y;
    return lanesSum(mix(vec4(0.0), g, isChannel(slice, p.result.channels)));
}

void store(uint slice, vec4 g, vec4 y, float sum) {
    destination_store(p.destination, p.clipX + at.x, p.clipY + at.y, slice, at.image,
                      logarithm != 0u ? g - exp(y) * sum : y * (g - sum));
}

void main() {
    uint pixel = pixelIndex();
    if (pixel >= p.clipWidth * p.clipHeight * p.images) return; // for a workgroup: all of it
    at = placeOf(pixel, 1u, p.clipWidth, p.clipHeight);
    uint slices = (p.result.channels + 3u) / 4u;

    vec4 g[keptSlices], y[keptSlices];
    float sum = 0.0;
    for (uint k = 0u; k < keptSlices; ++k)
        if (keptSlice(k) < slices) {
            g[k] = loadGradient(keptSlice(k));
            y[k] = loadResult(keptSlice(k));
            sum += summand(g[k], y[k], keptSlice(k));
        }
    for (uint slice = keptSlice(keptSlices); slice < slices; slice += channelStep)
        sum += summand(loadGradient(slice), logarithm == 0u ? loadResult(slice) : vec4(0.0), slice);
    sum = overChannelsSum(sum);

    for (uint k = 0u; k < keptSlices; ++k)
        if (keptSlice(k) < slices) store(keptSlice(k), g[k], y[k], sum);
    for (uint slice = keptSlice(keptSlices); slice < slices; slice += channelStep)
        store(slice, loadGradient(slice), loadResult(slice), sum);
}
