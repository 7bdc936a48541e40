// The loss of every element, reduced or not, and beside it the gradient.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "CNNLoss.h"
#include "image.glsl"
#include "loss.glsl"

layout(local_size_x = 128) in;
layout(constant_id = 32) const uint TYPE = 0u; // CNNLossType
layout(set = 0, binding = 0) uniform Parameters { CNNLossParameters p; };
IMAGE_SOURCE(1, source)
IMAGE_SOURCE(2, labels)
IMAGE_SOURCE(3, weights)
IMAGE_DESTINATION(4, gradient)
IMAGE_DESTINATION(5, loss)
layout(set = 0, binding = 6, std430) writeonly buffer Partials { vec2 partials[]; };
#include "lossGroup.glsl"

void main() {
    uint group = gl_WorkGroupID.x + gl_WorkGroupID.y * gl_NumWorkGroups.x;
    if (group >= p.images * p.groups) return; // all of the workgroup
    uint image = group / p.groups, part = group % p.groups;
    uint thread = gl_LocalInvocationID.x;
    uint lane = thread % p.lanes, team = thread / p.lanes, teams = lossThreads / p.lanes;
    uint pixels = p.source.width * p.source.height;
    uint slices = (p.source.channels + 3u) / 4u;
    float sum = 0.0;
    uint count = 0u;
    for (uint first = part * teams; first < pixels; first += p.groups * teams) {
        uint pixel = first + team;
        bool isActive = pixel < pixels;
        int x = int(pixel % p.source.width), y = int(pixel / p.source.width);
        vec2 softMax = vec2(0.0);
        if (TYPE == lossSoftMaxCrossEntropy)
            softMax = teamSoftMax(p.source, isActive, x, y, image, thread, lane, p.lanes);
        if (!isActive) continue;
        for (uint slice = lane; slice < slices; slice += p.lanes) {
            vec4 value = source_load(p.source, x, y, slice, image);
            vec4 label = labels_load(p.labels, x, y, slice, image) * p.labelScale + p.labelShift;
            vec4 logSoftMax = value - softMax.x - softMax.y;
            vec4 weight = vec4(1.0);
            if (p.hasWeights != 0u) weight = weights_load(p.weights, x, y, slice, image);
            // What has no weight is nothing, be its loss infinite.
            vec4 counts = mix(vec4(0.0), vec4(1.0), notEqual(weight, vec4(0.0)));
            counts = mix(vec4(0.0), counts, channelsOf(p.source, slice));
            bvec4 used = greaterThan(counts, vec4(0.0));
            weight *= p.weight;
            vec4 l = lossValue(TYPE, value, label, logSoftMax, p.epsilon, p.delta);
            l = mix(vec4(0.0), weight * l, used);
            if (p.writesGradient != 0u) {
                vec4 g = lossGradient(TYPE, value, label, logSoftMax, p.epsilon, p.delta);
                gradient_store(p.gradient, x, y, slice, image, mix(vec4(0.0), weight * g, used));
            }
            if (p.outputs == lossOutputElements) loss_store(p.loss, x, y, slice, image, l);
            sum += dot(l, vec4(1.0));
            count += uint(dot(counts, vec4(1.0)));
        }
    }
    if (p.outputs == lossOutputElements) return;
    sum = teamSum(sum, thread, thread, lossThreads);
    float total = 0.0; // exact: an image has below 2^24 weights in a workgroup's share
    if (p.countsWeights != 0u) total = teamSum(float(count), thread, thread, lossThreads);
    if (thread != 0u) return;
    if (p.outputs == lossOutputPartials) {
        partials[(p.firstImage + image) * p.groups + part] = vec2(sum, total);
        return;
    }
    float factor = p.lossFactor;
    if (p.countsWeights != 0u) factor = total > 0.0 ? 1.0 / total : 0.0;
    loss_store(p.loss, 0, 0, 0u, image, vec4((sum + p.lossShift) * factor));
}
