// y = (x - mean) * gamma / deviation + beta, and the statistics, by workgroups that read all pixels of
// their groups once.
#version 450
#extension GL_GOOGLE_include_directive : require
#define WHOLE_SUMS 1u
#include "groupStatistics.glsl"
#include "wholeGroup.glsl"

layout(constant_id = 35) const uint stage = sumsWhole;
layout(set = 0, binding = 0) uniform Parameters { CNNGroupNormalizationParameters p; };
layout(set = 0, binding = 1, std430) readonly buffer Source { uvec4 sourceUnits[]; };
layout(set = 0, binding = 2, std430) writeonly buffer Destination { uvec4 destinationUnits[]; };
layout(set = 0, binding = 5, std430) writeonly buffer Statistics { vec4 statistics[]; };
layout(set = 0, binding = 6, std430) readonly buffer Gamma { vec4 gammas[]; };
layout(set = 0, binding = 7, std430) readonly buffer Beta { vec4 betas[]; };

// Of the block's slices: of the channels first, then of their groups.
shared vec4 channelMeans[wholeSlices], channelSquares[wholeSlices];
shared vec4 groupMeans[wholeSlices], scales[wholeSlices], shifts[wholeSlices];

#define CHANNEL_MEAN(C) channelMeans[(C) / 4u][(C) % 4u]
#define CHANNEL_SQUARES(C) channelSquares[(C) / 4u][(C) % 4u]
GROUP_STATISTICS(groupStatistics, CHANNEL_MEAN, CHANNEL_SQUARES)

Share own;
uvec4 xs[kept];

// A compiler that knew halves again would keep them unpacked.
uint zero() { return texels == 1u ? 0u : p.zero; }

void addTexel(uint k) {
    vec4 origin = channelMeans[own.unit * texels + k], sum = vec4(0.0);
    EACH_KEPT(i) sum += mix(vec4(0.0), texelOf(xs[i], k) - origin, bvec4(counts(own, i)));
    laneSums[k * invocations + gl_LocalInvocationID.x] = sum;
}

uint pixelsOf(uint member) {
    int left = int(own.lastPixel + 1u) - int(((kept - 1u) * members + member) * lanes);
    return (kept - 1u) * lanes + uint(clamp(left, 0, int(lanes)));
}

// Means and squares of the members' pixels become those of all. Of equal means exactly that mean.
void joinMembers() {
    uint slice = gl_LocalInvocationID.x;
    if (slice < wholeSlices) {
        memberSums[memberSumAt(own, p.blocks, own.member, slice)] = channelMeans[slice];
        memberSums[memberSumAt(own, p.blocks, own.member, wholeSlices + slice)] = channelSquares[slice];
    }
    meetMembers(own, p.blocks);
    if (slice < wholeSlices) {
        vec4 origin = memberSums[memberSumAt(own, p.blocks, 0u, slice)], sum = vec4(0.0);
        [[unroll]] for (uint m = 1u; m < members; ++m)
            sum += (memberSums[memberSumAt(own, p.blocks, m, slice)] - origin) * float(pixelsOf(m));
        vec4 mean = origin + sum / float(own.lastPixel + 1u), squares = vec4(0.0);
        [[unroll]] for (uint m = 0u; m < members; ++m) {
            vec4 distance = memberSums[memberSumAt(own, p.blocks, m, slice)] - mean;
            squares += memberSums[memberSumAt(own, p.blocks, m, wholeSlices + slice)] +
                       distance * distance * float(pixelsOf(m));
        }
        channelMeans[slice] = mean;
        channelSquares[slice] = squares;
    }
    barrier();
}

void addSquares(uint k) {
    vec4 mean = channelMeans[own.unit * texels + k], sum = vec4(0.0);
    EACH_KEPT(i) {
        vec4 distance = texelOf(xs[i] ^ zero(), k) - mean;
        sum += mix(vec4(0.0), distance * distance, bvec4(counts(own, i)));
    }
    laneSums[k * invocations + gl_LocalInvocationID.x] = sum;
}

// Two neighbouring channels of a unit, which has texels * 2 such pairs.
vec2 pairOf(uvec4 unit, uint j) {
    uint halves = j == 0u ? unit.x : j == 1u ? unit.y : j == 2u ? unit.z : unit.w;
    return texels == 1u ? uintBitsToFloat(j == 0u ? unit.xy : unit.zw) : unpackHalf2x16(halves);
}

uvec4 withPair(uvec4 unit, uint j, vec2 value) {
    uvec4 bits = texels == 1u ? floatBitsToUint(value).xyxy : uvec4(packHalf2x16(value));
    uvec4 pair = texels == 1u ? uvec4(0u, 0u, 1u, 1u) : uvec4(0u, 1u, 2u, 3u);
    return mix(unit, bits, equal(pair, uvec4(j)));
}

vec2 halfOf(vec4 v, uint j) { return (j & 1u) == 0u ? v.xy : v.zw; }

void finishPair(uint j) {
    uint slice = own.unit * texels + j / 2u;
    vec2 mean = halfOf(groupMeans[slice], j), scale = halfOf(scales[slice], j);
    vec2 shift = halfOf(shifts[slice], j);
    EACH_KEPT(i) xs[i] = withPair(xs[i], j, (pairOf(xs[i] | zero(), j) - mean) * scale + shift);
}

void main() {
    own = shareOf(p.blocks, p.source.width * p.source.height);
    if (own.image >= p.images) return; // the whole workgroup
    uint thread = gl_LocalInvocationID.x, slices = (p.source.channels + 3u) / 4u;
    float pixels = float(own.lastPixel + 1u);
    EACH_KEPT(i) xs[i] = sourceUnits[unitIndex(p.source, own, i)];

    // The mean from a pixel on: of equal values exactly that value.
    if (own.lane == own.member * lanes) EACH_TEXEL(k) channelMeans[own.unit * texels + k] = texelOf(xs[0], k);
    barrier();
    addTexel(0u);
    if (texels == 2u) addTexel(1u);
    vec4 sum = sumOfLanes();
    if (thread < wholeSlices) channelMeans[sumSlice()] += sum / float(pixelsOf(own.member));
    barrier();
    addSquares(0u);
    if (texels == 2u) addSquares(1u);
    sum = sumOfLanes();
    if (thread < wholeSlices) channelSquares[sumSlice()] = sum;
    barrier();
    if (members > 1u) joinMembers();
    if (thread < wholeSlices) {
        vec4 mean, inverse;
        groupStatistics(0u, thread, wholeSlices * 4u, p.groupChannels, pixels, p.epsilon, mean, inverse);
        uint slice = own.block * wholeSlices + thread, at = own.image * p.statisticsStride + slice;
        if (own.member == 0u) {
            statistics[at] = mean;
            statistics[at + slices] = inverse;
        }
        groupMeans[thread] = mean;
        if (stage == sumsResult) {
            scales[thread] = inverse * gammas[slice];
            shifts[thread] = betas[slice];
        }
    }
    if (stage != sumsResult) return;
    barrier();

    finishPair(0u);
    finishPair(1u);
    if (texels == 2u) {
        finishPair(2u);
        finishPair(3u);
    }
    EACH_KEPT(i) {
        if (counts(own, i)) destinationUnits[unitIndex(p.destination, own, i)] = xs[i];
    }
}
