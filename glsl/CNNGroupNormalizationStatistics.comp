// Mean and inverse deviation of the groups of an image; and, if a workgroup has all pixels of its
// groups, y = (x - mean) * gamma / deviation + beta as well.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "groupNormalization.glsl"
#include "groupStatistics.glsl"

layout(set = 0, binding = 0) uniform Parameters { CNNGroupNormalizationParameters p; };
IMAGE_SOURCE(1, source)
IMAGE_EDGE_READ(source)
IMAGE_DESTINATION(2, destination)
// Of each slice the means and the sums of squared distances from them.
layout(set = 0, binding = 3, std430) readonly buffer Partials { vec4 partials[]; };
layout(set = 0, binding = 4, std430) writeonly buffer Sums { vec4 sums[]; };
layout(set = 0, binding = 5, std430) writeonly buffer Statistics { vec4 statistics[]; };
layout(set = 0, binding = 6, std430) readonly buffer Gamma { vec4 gammas[]; };
layout(set = 0, binding = 7, std430) readonly buffer Beta { vec4 betas[]; };

struct Moments {
    vec4 mean, squares;
};

// Of equal means exactly that mean.
Moments merged(Moments a, float countA, Moments b, float countB) {
    if (countB == 0.0) return a;
    vec4 distance = b.mean - a.mean;
    float share = countB / (countA + countB);
    a.mean += distance * share;
    a.squares += b.squares + distance * distance * (countA * share);
    return a;
}

uint pixelsOfPart(uint part) {
    return min(p.partPixels, p.source.width * p.source.height - part * p.partPixels);
}

// Pixels in the items lane, lane + lanes, ... : pixels themselves or parts, the last one smaller.
float pixelsOf(uint lane, uint lanes, uint items) {
    uint own = itemsOf(lane, lanes, items);
    if (stage != sumsMerge || own == 0u) return float(own);
    uint last = lane + (own - 1u) * lanes;
    return float((own - 1u) * p.partPixels + pixelsOfPart(last));
}

#define SHARED_MEAN(C) sharedFirst[(C) / 4u][(C) % 4u]
#define SHARED_SQUARES(C) sharedSecond[(C) / 4u][(C) % 4u]
GROUP_STATISTICS(groupStatistics, SHARED_MEAN, SHARED_SQUARES)

void main() {
    uint slices = slicesOf(p.source);
    Block b = blockOf(p.blockSlices, p.blockLanes, p.blocks, stage == sumsMerge ? 1u : p.parts, slices);
    if (b.image >= p.images) return; // the whole workgroup
    uint pixels = p.source.width * p.source.height;
    uint first = b.part * p.partPixels;
    uint items = stage == sumsMerge ? p.parts : min(p.partPixels, pixels - first);

    Moments own = Moments(vec4(0.0), vec4(0.0));
    float count = 0.0;
    if (b.exists && stage == sumsMerge) {
        for (uint i = b.lane; i < items; i += b.lanes) {
            uint at = ((b.image * items + i) * slices + b.slice) * 2u;
            float more = float(pixelsOfPart(i));
            own = merged(own, count, Moments(partials[at], partials[at + 1u]), more);
            count += more;
        }
    } else if (b.exists) {
        Walk at = walkFrom(first + b.lane, b.lanes, p.source.width);
        for (uint i = b.lane; i < items; i += b.lanes) {
            vec4 x = source_load(p.source, at.x, at.y, b.slice, b.image);
            vec4 distance = x - own.mean;
            count += 1.0;
            own.mean += distance * (1.0 / count);
            own.squares += distance * (x - own.mean);
            advance(at);
        }
    }
    for (uint step = b.lanes / 2u; step > 0u; step >>= 1) {
        uint thread = gl_LocalInvocationID.x;
        if (b.lane >= step && b.lane < 2u * step) {
            sharedFirst[thread - step * p.blockLanes] = own.mean;
            sharedSecond[thread - step * p.blockLanes] = own.squares;
        }
        barrier();
        if (b.lane < step)
            own = merged(own, pixelsOf(b.lane, 2u * step, items),
                         Moments(sharedFirst[thread], sharedSecond[thread]),
                         pixelsOf(b.lane + step, 2u * step, items));
        barrier();
    }
    bool leads = b.exists && b.lane == 0u;
    if (stage == sumsPart || stage == sumsMerge) {
        uint at = ((stage == sumsMerge ? b.image : b.image * p.parts + b.part) * slices + b.slice) * 2u;
        if (leads) {
            sums[at] = own.mean;
            sums[at + 1u] = own.squares;
        }
        return;
    }

    if (leads) {
        sharedFirst[b.inBlock] = own.mean;
        sharedSecond[b.inBlock] = own.squares;
    }
    barrier();
    vec4 mean = vec4(0.0), inverse = vec4(0.0);
    if (leads) {
        uint channels = p.source.channels - (b.slice - b.inBlock) * 4u;
        groupStatistics(0u, b.inBlock, channels, p.groupChannels, float(pixels), p.epsilon, mean, inverse);
        uint at = b.image * p.statisticsStride + b.slice;
        statistics[at] = mean;
        statistics[at + slices] = inverse;
    }
    if (stage != sumsResult) return;
    barrier();
    if (leads) {
        sharedFirst[b.inBlock] = mean;
        sharedSecond[b.inBlock] = inverse;
    }
    barrier();
    if (!b.exists) return;
    mean = sharedFirst[b.inBlock];
    vec4 scale = sharedSecond[b.inBlock] * gammas[b.slice], beta = betas[b.slice];
    // Backwards, since what was read last is still in the caches.
    uint results = itemsOf(b.lane, b.lanes, p.clipWidth * p.clipHeight);
    if (results == 0u) return;
    Walk at = walkFrom(b.lane + (results - 1u) * b.lanes, b.lanes, p.clipWidth);
    for (uint i = 0u; i < results; ++i) {
        vec4 x = source_read(p.source, p.offsetX + at.x, p.offsetY + at.y, b.slice, b.image, p.clampEdges);
        destination_store(p.destination, p.clipX + at.x, p.clipY + at.y, b.slice, b.image,
                          (x - mean) * scale + beta);
        retreat(at);
    }
}
