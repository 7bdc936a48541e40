// dx = y * (dy - sum of dy*y) or, of the logarithm, dx = dy - e^y * sum of dy; y is the forward result.
#include "softmax.glsl"

layout(set = 0, binding = 0) uniform Parameters { CNNSoftMaxGradientParameters p; };
IMAGE_SOURCE(1, gradient)
IMAGE_EDGE_READ(gradient)
IMAGE_SOURCE(2, result)
IMAGE_EDGE_READ(result)
IMAGE_DESTINATION(3, destination)
layout(constant_id = 32) const uint logarithm = 0u;

void main() {
    uint pixel = pixelIndex();
    if (pixel >= p.clipWidth * p.clipHeight * p.images) return; // for a workgroup: all of it
    Place at = placeOf(pixel, 1u, p.clipWidth, p.clipHeight);
    uint slices = (p.result.channels + 3u) / 4u;
    int gradientX = p.gradientOffsetX + at.x, gradientY = p.gradientOffsetY + at.y;
    int resultX = p.resultOffsetX + at.x, resultY = p.resultOffsetY + at.y;

    float sum = 0.0;
    for (uint slice = channelFirst(); slice < slices; slice += channelStep) {
        vec4 g = gradient_read(p.gradient, gradientX, gradientY, slice, at.image, 0u);
        if (logarithm == 0u) g *= result_read(p.result, resultX, resultY, slice, at.image, 0u);
        sum += lanesSum(mix(vec4(0.0), g, isChannel(slice, p.result.channels)));
    }
    sum = overChannelsSum(sum);

    for (uint slice = channelFirst(); slice < slices; slice += channelStep) {
        vec4 g = gradient_read(p.gradient, gradientX, gradientY, slice, at.image, 0u);
        vec4 y = result_read(p.result, resultX, resultY, slice, at.image, 0u);
        destination_store(p.destination, p.clipX + at.x, p.clipY + at.y, slice, at.image,
                          logarithm != 0u ? g - exp(y) * sum : y * (g - sum));
    }
}
