// The incoming gradient times the derivative of the loss, with respect to predictions or labels.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "CNNLoss.h"
#include "image.glsl"
#include "loss.glsl"

layout(local_size_x = 128) in;
layout(constant_id = 32) const uint TYPE = 0u; // CNNLossType
layout(set = 0, binding = 0) uniform Parameters { NNLossGradientParameters p; };
IMAGE_SOURCE(1, gradient)
IMAGE_SOURCE(2, source)
IMAGE_SOURCE(3, labels)
IMAGE_SOURCE(4, weights)
IMAGE_DESTINATION(5, destination)
layout(set = 0, binding = 6, std430) readonly buffer Factors { float factors[]; };
#include "lossGroup.glsl"

void main() {
    uint group = gl_WorkGroupID.x + gl_WorkGroupID.y * gl_NumWorkGroups.x;
    if (group >= p.images * p.groups) return; // all of the workgroup
    uint image = group / p.groups, part = group % p.groups;
    uint thread = gl_LocalInvocationID.x;
    uint lane = thread % p.lanes, team = thread / p.lanes, teams = lossThreads / p.lanes;
    uint pixels = p.source.width * p.source.height;
    uint slices = (p.source.channels + 3u) / 4u;
    uint destinationSlices = (p.destination.channels + 3u) / 4u;
    float factor = p.factor;
    if (p.readsFactors != 0u) factor *= factors[p.firstImage + image];
    if (p.perElement == 0u) factor *= gradient_load(p.gradient, 0, 0, 0u, image).x;
    for (uint first = part * teams; first < pixels; first += p.groups * teams) {
        uint pixel = first + team;
        bool isActive = pixel < pixels;
        int x = int(pixel % p.source.width), y = int(pixel / p.source.width);
        vec2 softMax = vec2(0.0);
        if (TYPE == lossSoftMaxCrossEntropy)
            softMax = teamSoftMax(p.source, isActive, x, y, image, thread, lane, p.lanes);
        if (!isActive) continue;
        for (uint slice = lane; slice < destinationSlices; slice += p.lanes) {
            vec4 result = vec4(0.0); // labels may have channels that no prediction has
            if (slice < slices) {
                vec4 value = source_load(p.source, x, y, slice, image);
                vec4 label = labels_load(p.labels, x, y, slice, image) * p.labelScale + p.labelShift;
                vec4 logSoftMax = value - softMax.x - softMax.y;
                if (p.labelGradients != 0u)
                    result = lossLabelGradient(TYPE, value, label, logSoftMax, p.labelScale,
                                               p.epsilon, p.delta);
                else
                    result = lossGradient(TYPE, value, label, logSoftMax, p.epsilon, p.delta);
                result *= factor;
                bvec4 used = channelsOf(p.source, slice);
                if (p.hasWeights != 0u) {
                    vec4 weight = weights_load(p.weights, x, y, slice, image);
                    result = mix(weight * result, vec4(0.0), equal(weight, vec4(0.0)));
                }
                if (p.perElement != 0u) result *= gradient_load(p.gradient, x, y, slice, image);
                result = mix(vec4(0.0), result, used);
            }
            destination_store(p.destination, x, y, slice, image, result);
        }
    }
}
