// y = the smallest, the largest, their channel, or the scaled sum over the channels of each pixel.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "reduce.glsl"

layout(set = 0, binding = 0) uniform Parameters { NNReduceFeatureChannelsParameters p; };
IMAGE_SOURCE(1, source)
IMAGE_DESTINATION(2, destination)
layout(constant_id = 32) const uint operation = reduceSum;

const bool seeksMinimum = operation == reduceMinimum || operation == reduceArgumentMinimum;

struct Extreme {
    float value;
    uint channel;
};

shared float values[reduceGroupSize];
shared uint channels[reduceGroupSize];

bool isNotNumber(float v) { return (floatBitsToUint(v) & 0x7fffffffu) > 0x7f800000u; }

// Of equal values the one of the lower channel.
bool wins(Extreme b, Extreme a) {
    if (isNotNumber(b.value)) return false;
    if (isNotNumber(a.value)) return true;
    if (seeksMinimum ? b.value < a.value : b.value > a.value) return true;
    return b.value == a.value && b.channel < a.channel;
}

void main() {
    uint i = gl_LocalInvocationID.x, part = i % p.parts;
    uint pixel = groupIndex() * (reduceGroupSize / p.parts) + i / p.parts;
    bool works = pixel < p.clipWidth * p.clipHeight * p.images;
    Place at = placeOf(pixel, 1u, p.clipWidth, p.clipHeight);
    float sum = 0.0;
    Extreme best = Extreme(uintBitsToFloat(notNumber), 0u);
    uint slices = (p.source.channels + 3u) / 4u;
    for (uint slice = works ? part : slices; slice < slices; slice += p.parts) {
        vec4 v = source_load(p.source, p.sourceX + at.x, p.sourceY + at.y, slice, at.image);
        if (operation == reduceSum) {
            sum += lanesSum(v); // lanes that are no channels were read as 0
            continue;
        }
        for (uint lane = 0u; lane < 4u; ++lane) {
            Extreme one = Extreme(v[lane], slice * 4u + lane);
            if (one.channel < p.source.channels && wins(one, best)) best = one;
        }
    }

    values[i] = operation == reduceSum ? sum : best.value;
    channels[i] = best.channel;
    for (uint step = p.parts / 2u; step > 0u; step >>= 1) {
        barrier();
        if (part >= step) continue;
        if (operation == reduceSum) {
            values[i] += values[i + step];
        } else {
            Extreme other = Extreme(values[i + step], channels[i + step]);
            if (!wins(other, Extreme(values[i], channels[i]))) continue;
            values[i] = other.value;
            channels[i] = other.channel;
        }
    }
    if (!works || part != 0u) return;
    float result = values[i];
    if (operation == reduceSum) result = result * p.factor / p.divisor;
    if (operation == reduceArgumentMinimum || operation == reduceArgumentMaximum)
        result = float(channels[i]);
    destination_store(p.destination, p.clipX + at.x, p.clipY + at.y, 0u, at.image, vec4(result));
}
