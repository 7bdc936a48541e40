// dx = y * (dy - sum of dy*y) or, of the logarithm, dx = dy - e^y * sum of dy; y is the forward result.
#include "softmax.glsl"

layout(set = 0, binding = 0) uniform Parameters { TexelGrid grid; CNNSoftMaxGradientParameters p; };
IMAGE_SOURCE(1, gradient)
IMAGE_EDGE_READ(gradient)
IMAGE_SOURCE(2, result)
IMAGE_EDGE_READ(result)
IMAGE_DESTINATION(3, destination)
layout(constant_id = 32) const uint logarithm = 0u;

Place at;

vec4[2] loadGradient(uint slice) {
    return gradient_readTexels(p.gradient, p.gradientOffsetX + at.x, p.gradientOffsetY + at.y, slice, at.image, 0u);
}

vec4[2] loadResult(uint slice) {
    return result_readTexels(p.result, p.resultOffsetX + at.x, p.resultOffsetY + at.y, slice, at.image, 0u);
}

float summand(vec4 g[2], vec4 y[2], uint slice) {
    float sum = 0.0;
    EACH_TEXEL(k) {
        if (logarithm == 0u) g[k] *= y[k];
        sum += lanesSum(mix(vec4(0.0), g[k], isChannel(slice + k, p.result.channels)));
    }
    return sum;
}

void store(uint slice, vec4 g[2], vec4 y[2], float sum) {
    EACH_TEXEL(k)
        g[k] = logarithm != 0u ? g[k] - exp(y[k]) * sum : y[k] * (g[k] - sum);
    destination_storeTexels(p.destination, p.clipX + at.x, p.clipY + at.y, slice, at.image, g);
}

void main() {
    uint pixel = pixelIndex();
    at = placeOf(grid, pixel);
    uint slices = pixel < texelCount(grid) ? (p.result.channels + 3u) / 4u : 0u;

    vec4 g[keptSteps][2], y[keptSteps][2];
    float sum = 0.0;
    [[unroll]] for (uint k = 0u; k < keptSteps; ++k)
        if (keptSlice(k) < slices) {
            g[k] = loadGradient(keptSlice(k));
            y[k] = loadResult(keptSlice(k));
        }
    [[unroll]] for (uint k = 0u; k < keptSteps; ++k)
        if (keptSlice(k) < slices) sum += summand(g[k], y[k], keptSlice(k));
    for (uint slice = keptSlice(keptSteps); slice < slices; slice += channelStep)
        sum += summand(loadGradient(slice), loadResult(slice), slice);
    sum = overChannelsSum(sum);

    [[unroll]] for (uint k = 0u; k < keptSteps; ++k)
        if (keptSlice(k) < slices) store(keptSlice(k), g[k], y[k], sum);
    for (uint slice = keptSlice(keptSteps); slice < slices; slice += channelStep)
        store(slice, loadGradient(slice), loadResult(slice), sum);
}
