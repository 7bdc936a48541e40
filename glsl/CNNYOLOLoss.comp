// The YOLO loss of every element, reduced or not, and beside it the gradient. A workgroup takes a
// few cells of the grid at a time: first an invocation per box finds out what the box stands for,
// then one per texel forms the losses.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "CNNYOLOLoss.h"
#include "image.glsl"
#include "loss.glsl"

layout(local_size_x = 128) in;
layout(set = 0, binding = 0) uniform Parameters { CNNYOLOLossParameters p; };
IMAGE_SOURCE(1, source)
IMAGE_SOURCE(2, labels)
IMAGE_SOURCE(3, weights)
IMAGE_DESTINATION(4, gradient)
IMAGE_DESTINATION(5, loss)
layout(set = 0, binding = 6, std430) writeonly buffer Partials { vec2 partials[]; };
layout(set = 0, binding = 7, std430) readonly buffer Anchors { vec2 anchorSizes[]; };
#include "lossGroup.glsl"

const uint mostBoxes = 256u; // of the cells that a workgroup takes at a time
const uint boxIsLeftOut = 0u, boxIsNoObject = 1u, boxIsObject = 2u;

shared float overlaps[mostBoxes]; // of the anchor with the true box on the same centre
shared uint roles[mostBoxes];
shared float confidences[mostBoxes];   // their targets
shared vec2 softMaxes[4u * mostBoxes]; // largest value, ln(sum of e^(value - largest))

struct Cell {
    int x, y;
    uint image;
};

Cell cellOf(uint pixel, uint image) {
    return Cell(int(pixel % p.loss.source.width), int(pixel / p.loss.source.width), image);
}

float predictedAt(Cell at, uint channel) {
    return source_load(p.loss.source, at.x, at.y, channel / 4u, at.image)[channel % 4u];
}

float labelAt(Cell at, uint channel) {
    return labels_load(p.loss.labels, at.x, at.y, channel / 4u, at.image)[channel % 4u];
}

float sigmoid(float x) { return neuronLogistic(vec4(x)).x; }

float overUnion(vec2 overlap, vec2 a, vec2 b) {
    float intersection = max(overlap.x, 0.0) * max(overlap.y, 0.0);
    return intersection > 0.0 ? intersection / (a.x * a.y + b.x * b.y - intersection) : 0.0;
}

vec2 labelSize(Cell at, uint channel) {
    return vec2(labelAt(at, channel + 2u), labelAt(at, channel + 3u));
}

float boxOverlap(Cell at, uint channel, vec2 anchor) {
    vec2 size = exp(vec2(predictedAt(at, channel + 2u), predictedAt(at, channel + 3u))) * anchor;
    vec2 centre = vec2(sigmoid(predictedAt(at, channel)), sigmoid(predictedAt(at, channel + 1u)));
    vec2 trueSize = labelSize(at, channel);
    vec2 trueCentre = vec2(labelAt(at, channel), labelAt(at, channel + 1u));
    vec2 low = max(centre - 0.5 * size, trueCentre - 0.5 * trueSize);
    vec2 high = min(centre + 0.5 * size, trueCentre + 0.5 * trueSize);
    return overUnion(high - low, size, trueSize);
}

float valueAt(Cell at, uint part, uint channel) {
    float value = predictedAt(at, channel);
    return part == anchorXY ? sigmoid(value) : value;
}

vec2 softMaxOf(Cell at, uint part, uint first, uint end) {
    float largest = -3.402823466e38, sum = 0.0;
    for (uint i = first; i < end; ++i) largest = max(largest, valueAt(at, part, i));
    for (uint i = first; i < end; ++i) sum += exp(valueAt(at, part, i) - largest);
    return vec2(largest, log(sum));
}

void findOverlaps(uint thread, uint firstPixel, uint boxes, uint image) {
    for (uint i = thread; i < boxes; i += lossThreads) {
        uint anchor = i % p.anchors;
        Cell at = cellOf(firstPixel + i / p.anchors, image);
        vec2 size = anchorSizes[anchor], trueSize = labelSize(at, anchor * p.anchorChannels);
        overlaps[i] = overUnion(min(size, trueSize), size, trueSize);
    }
}

void findRoles(uint thread, uint firstPixel, uint boxes, uint image) {
    for (uint i = thread; i < boxes; i += lossThreads) {
        uint anchor = i % p.anchors, channel = anchor * p.anchorChannels;
        Cell at = cellOf(firstPixel + i / p.anchors, image);
        float largest = 0.0;
        for (uint j = 0u; j < p.anchors; ++j) largest = max(largest, overlaps[i - anchor + j]);
        bool isObject = labelAt(at, channel + 4u) == 1.0 &&
                        (overlaps[i] == largest || overlaps[i] > p.presence);
        roles[i] = isObject ? boxIsObject : overlaps[i] < p.absence ? boxIsNoObject : boxIsLeftOut;
        float target = isObject ? 1.0 : 0.0;
        if (isObject && p.rescores != 0u) target = boxOverlap(at, channel, anchorSizes[anchor]);
        confidences[i] = target;
        for (uint part = anchorXY; part <= anchorClasses; ++part) {
            if (p.parts[part].type != lossSoftMaxCrossEntropy) continue;
            uint ends[] = {0u, 2u, 4u, 5u, p.anchorChannels};
            softMaxes[part * mostBoxes + i] =
                softMaxOf(at, part, channel + ends[part], channel + ends[part + 1u]);
        }
    }
}

// x: the weighted loss of channel `channel` of a cell, y: its derivative by the prediction.
vec2 lossOf(float value, float label, uint channel, uint cell) {
    uint anchor = channel / p.anchorChannels, own = channel % p.anchorChannels;
    uint part = own < 2u ? anchorXY : own < 4u ? anchorWH : own == 4u ? anchorConfidence : anchorClasses;
    uint box = cell * p.anchors + anchor;
    if (roles[box] == boxIsLeftOut || (roles[box] == boxIsNoObject && part != anchorConfidence))
        return vec2(0.0);
    float slope = 1.0;
    if (part == anchorXY) {
        value = sigmoid(value);
        slope = value * (1.0 - value);
    }
    if (part == anchorWH) label = log(label / anchorSizes[anchor][own - 2u] + 1e-5);
    if (part == anchorConfidence) label = confidences[box];
    CNNYOLOLossPart l = p.parts[part];
    vec2 softMax = vec2(0.0);
    if (l.type == lossSoftMaxCrossEntropy) softMax = softMaxes[part * mostBoxes + box];
    vec4 y = vec4(value), t = vec4(label * l.labelScale + l.labelShift);
    vec4 logSoftMax = y - softMax.x - softMax.y;
    float weight = roles[box] == boxIsObject ? l.weight : l.weightNoObject;
    return weight * vec2(lossValue(l.type, y, t, logSoftMax, l.epsilon, l.delta).x,
                         slope * lossGradient(l.type, y, t, logSoftMax, l.epsilon, l.delta).x);
}

void main() {
    uint group = gl_WorkGroupID.x + gl_WorkGroupID.y * gl_NumWorkGroups.x;
    if (group >= p.loss.images * p.loss.groups) return; // all of the workgroup
    uint image = group / p.loss.groups, part = group % p.loss.groups;
    uint thread = gl_LocalInvocationID.x;
    uint pixels = p.loss.source.width * p.loss.source.height;
    uint slices = (p.loss.source.channels + 3u) / 4u;
    float sum = 0.0;
    uint count = 0u;
    for (uint first = part * p.pixels; first < pixels; first += p.loss.groups * p.pixels) {
        uint cells = min(p.pixels, pixels - first);
        findOverlaps(thread, first, cells * p.anchors, image);
        barrier();
        findRoles(thread, first, cells * p.anchors, image);
        barrier();
        for (uint i = thread; i < cells * slices; i += lossThreads) {
            uint cell = i / slices, slice = i % slices;
            Cell at = cellOf(first + cell, image);
            vec4 value = source_load(p.loss.source, at.x, at.y, slice, image);
            vec4 label = labels_load(p.loss.labels, at.x, at.y, slice, image);
            vec4 weight = vec4(1.0);
            if (p.loss.hasWeights != 0u) weight = weights_load(p.loss.weights, at.x, at.y, slice, image);
            vec4 l = vec4(0.0), g = vec4(0.0);
            for (uint lane = 0u; lane < 4u; ++lane) {
                uint channel = slice * 4u + lane;
                if (channel >= p.loss.source.channels || weight[lane] == 0.0) continue;
                vec2 both = weight[lane] * lossOf(value[lane], label[lane], channel, cell);
                l[lane] = both.x;
                g[lane] = both.y;
                ++count;
            }
            gradient_store(p.loss.gradient, at.x, at.y, slice, image, g);
            if (p.loss.outputs == lossOutputElements)
                loss_store(p.loss.loss, at.x, at.y, slice, image, l);
            sum += dot(l, vec4(1.0));
        }
        barrier(); // before the next cells take the place of these
    }
    if (p.loss.outputs == lossOutputElements) return;
    sum = teamSum(sum, thread, thread, lossThreads);
    float total = 0.0;
    if (p.loss.countsWeights != 0u) total = teamSum(float(count), thread, thread, lossThreads);
    if (thread != 0u) return;
    if (p.loss.outputs == lossOutputPartials) {
        partials[(p.loss.firstImage + image) * p.loss.groups + part] = vec2(sum, total);
        return;
    }
    float factor = p.loss.lossFactor;
    if (p.loss.countsWeights != 0u) factor = total > 0.0 ? 1.0 / total : 0.0;
    loss_store(p.loss.loss, 0, 0, 0u, image, vec4(sum * factor));
}
