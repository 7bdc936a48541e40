// The gradients of gamma, beta and the source by workgroups that read all pixels of their groups once.
#version 450
#extension GL_GOOGLE_include_directive : require
#define WHOLE_SUMS 2u
#include "wholeGroup.glsl"

layout(set = 0, binding = 0) uniform Parameters { CNNGroupNormalizationGradientParameters p; };
layout(set = 0, binding = 1, std430) readonly buffer Gradient { uvec4 gradientUnits[]; };
layout(set = 0, binding = 2, std430) readonly buffer Source { uvec4 sourceUnits[]; };
layout(set = 0, binding = 3, std430) writeonly buffer Destination { uvec4 destinationUnits[]; };
layout(set = 0, binding = 4, std430) readonly buffer Statistics { vec4 statistics[]; };
layout(set = 0, binding = 5, std430) readonly buffer Gamma { vec4 gammas[]; };
layout(set = 0, binding = 8, std430) writeonly buffer GradientForGamma { vec4 gradientForGamma[]; };
layout(set = 0, binding = 9, std430) writeonly buffer GradientForBeta { vec4 gradientForBeta[]; };

// Of the block's slices.
shared vec4 means[wholeSlices], inverses[wholeSlices], weights[wholeSlices];
shared vec4 weighted[2u * wholeSlices]; // gamma times the sums
shared vec4 meanTerms[wholeSlices], slopeTerms[wholeSlices];

Share own;
uvec4 xs[kept], dys[kept];

void addTexel(uint k) {
    vec4 mean = means[own.unit * texels + k];
    vec4 products = vec4(0.0), gradients = vec4(0.0);
    EACH_KEPT(i) {
        vec4 dy = mix(vec4(0.0), texelOf(dys[i], k), bvec4(counts(own, i)));
        products += dy * (texelOf(xs[i], k) - mean);
        gradients += dy;
    }
    laneSums[k * invocations + gl_LocalInvocationID.x] = products;
    laneSums[(texels + k) * invocations + gl_LocalInvocationID.x] = gradients;
}

// Of all members, in their order.
vec4 sumOfMembers(vec4 sum) {
    uint thread = gl_LocalInvocationID.x;
    bool hasSum = thread < WHOLE_SUMS * wholeSlices;
    if (hasSum) memberSums[memberSumAt(own, p.blocks, own.member, thread)] = sum;
    meetMembers(own, p.blocks);
    sum = vec4(0.0);
    if (hasSum)
        [[unroll]] for (uint member = 0u; member < members; ++member)
            sum += memberSums[memberSumAt(own, p.blocks, member, thread)];
    return sum;
}

// In fp16 the mean is a part of the constant term: what x loses there is less than its own rounding. A
// compiler that knew the halves of the sums again would keep them unpacked until here.
void finish() {
    uint zero = texels == 1u ? 0u : p.zero;
    vec4 mean[2], ofGradient[2], ofSource[2], constantTerm[2];
    [[unroll]] for (uint k = 0u; k < texels; ++k) {
        uint slice = own.unit * texels + k;
        ofGradient[k] = inverses[slice] * weights[slice];
        ofSource[k] = -inverses[slice] * slopeTerms[slice];
        constantTerm[k] = -inverses[slice] * meanTerms[slice];
        mean[k] = means[slice];
        if (texels == 2u) {
            constantTerm[k] -= ofSource[k] * mean[k];
            mean[k] = vec4(0.0);
        }
    }
    EACH_KEPT(i) {
        uvec4 x = xs[i] ^ zero, dy = dys[i] ^ zero;
        vec4 results[2];
        [[unroll]] for (uint k = 0u; k < texels; ++k)
            results[k] = fma(ofGradient[k], texelOf(dy, k),
                             fma(ofSource[k], texelOf(x, k) - mean[k], constantTerm[k]));
        if (counts(own, i)) destinationUnits[unitIndex(p.destination, own, i)] = unitOf(results);
    }
}

void main() {
    own = shareOf(p.blocks, p.source.width * p.source.height);
    if (own.image >= p.images) return; // the whole workgroup
    uint thread = gl_LocalInvocationID.x;
    stagger();
    EACH_KEPT(i) {
        xs[i] = sourceUnits[unitIndex(p.source, own, i)];
        dys[i] = gradientUnits[unitIndex(p.gradient, own, i)];
    }
    uint firstSlice = own.block * wholeSlices;
    if (thread < wholeSlices) {
        uint at = own.image * p.statisticsStride + firstSlice + thread;
        means[thread] = statistics[at];
        inverses[thread] = statistics[at + (p.source.channels + 3u) / 4u];
        weights[thread] = gammas[firstSlice + thread];
    }
    barrier();
    addTexel(0u);
    if (texels == 2u) addTexel(1u);
    vec4 sum = sumOfLanes();
    if (members > 1u) sum = sumOfMembers(sum);
    if (thread < WHOLE_SUMS * wholeSlices) {
        uint inBlock = sumSlice(), slice = firstSlice + inBlock;
        if (sumIndex() == 0u) {
            sum *= inverses[inBlock];
            if (own.member == 0u) gradientForGamma[own.image * p.gammaStride + slice] = sum;
        } else if (own.member == 0u) {
            gradientForBeta[own.image * p.betaStride + slice] = sum;
        }
        weighted[sumIndex() * wholeSlices + inBlock] = weights[inBlock] * sum;
    }
    barrier();
    for (uint channel = thread; channel < wholeSlices * 4u; channel += invocations) {
        uint slice = channel / 4u, lane = channel % 4u;
        uint first = channel / p.groupChannels * p.groupChannels;
        float gammaSum = 0.0, betaSum = 0.0;
        for (uint c = first; c < first + p.groupChannels; ++c) {
            gammaSum += weighted[c / 4u][c % 4u];
            betaSum += weighted[wholeSlices + c / 4u][c % 4u];
        }
        meanTerms[slice][lane] = betaSum / p.groupElements;
        slopeTerms[slice][lane] = inverses[slice][lane] * (gammaSum / p.groupElements);
    }
    barrier();
    finish();
}
