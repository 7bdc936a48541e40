// Mean and inverse deviation of the groups of an image; and, where a workgroup has the sums of whole
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
float pixelsOf(uint lane, uint lanes, uint items, bool parts) {
    uint own = itemsOf(lane, lanes, items);
    if (!parts || own == 0u) return float(own);
    uint last = lane + (own - 1u) * lanes;
    return float((own - 1u) * p.partPixels + pixelsOfPart(last));
}

#define SHARED_MEAN(C) sharedFirst[(C) / 4u][(C) % 4u]
#define SHARED_SQUARES(C) sharedSecond[(C) / 4u][(C) % 4u]
GROUP_STATISTICS(groupStatistics, SHARED_MEAN, SHARED_SQUARES)

Block b;
Moments own[2] = Moments[2](Moments(vec4(0.0), vec4(0.0)), Moments(vec4(0.0), vec4(0.0)));
vec4 mean[2] = vec4[2](vec4(0.0), vec4(0.0)), inverse[2] = mean, beta[2] = mean;

// Of a lane that has `before` already.
void addPixels(inout Walk at, float before, uint count) {
    vec4 x[ahead][2];
    [[unroll]] for (uint k = 0u; k < ahead; ++k) {
        if (k < count) {
            x[k] = source_loadTexels(p.source, at.x, at.y, b.slice, b.image);
            advance(at);
        }
    }
    [[unroll]] for (uint k = 0u; k < ahead; ++k) {
        if (k < count) {
            float share = 1.0 / (before + float(k + 1u));
            EACH_TEXEL(t) {
                vec4 distance = x[k][t] - own[t].mean;
                own[t].mean += distance * share;
                own[t].squares += distance * (x[k][t] - own[t].mean);
            }
        }
    }
}

void addParts() {
    float count = 0.0;
    for (uint i = b.lane; i < p.parts; i += b.lanes) {
        uint at = ((b.image * p.parts + i) * slicesOf(p.source) + b.slice) * 2u;
        float more = float(pixelsOfPart(i));
        EACH_TEXEL(t) {
            Moments part = Moments(partials[at + t * 2u], partials[at + t * 2u + 1u]);
            own[t] = merged(own[t], count, part, more);
        }
        count += more;
    }
}

void addUp(uint items) {
    for (uint step = b.lanes / 2u; step > 0u; step >>= 1) {
        uint thread = gl_LocalInvocationID.x;
        if (b.lane >= step && b.lane < 2u * step) {
            uint at = (thread - step * p.blockLanes) * texels;
            EACH_TEXEL(t) {
                sharedFirst[at + t] = own[t].mean;
                sharedSecond[at + t] = own[t].squares;
            }
        }
        barrier();
        if (b.lane < step) {
            float count = pixelsOf(b.lane, 2u * step, items, b.merges);
            float more = pixelsOf(b.lane + step, 2u * step, items, b.merges);
            EACH_TEXEL(t) {
                uint at = thread * texels + t;
                own[t] = merged(own[t], count, Moments(sharedFirst[at], sharedSecond[at]), more);
            }
        }
        barrier();
    }
}

// Of the groups, kept in `statistics` once for each image.
void shareStatistics(bool leads) {
    uint slices = slicesOf(p.source);
    float pixels = float(p.source.width * p.source.height);
    if (leads)
        EACH_TEXEL(t) {
            sharedFirst[b.inBlock + t] = own[t].mean;
            sharedSecond[b.inBlock + t] = own[t].squares;
        }
    barrier();
    if (leads)
        EACH_TEXEL(t) {
            uint channels = p.source.channels - (b.slice - b.inBlock) * 4u;
            groupStatistics(0u, b.inBlock + t, channels, p.groupChannels, pixels, p.epsilon, mean[t],
                            inverse[t]);
            uint at = b.image * p.statisticsStride + b.slice + t;
            if (stage != sumsChunks || b.part == 0u) {
                statistics[at] = mean[t];
                statistics[at + slices] = inverse[t];
            }
        }
    if (stage == sumsWhole) return;
    barrier();
    if (leads)
        EACH_TEXEL(t) {
            sharedFirst[b.inBlock + t] = mean[t];
            sharedSecond[b.inBlock + t] = inverse[t];
        }
    barrier();
    EACH_TEXEL(t) {
        mean[t] = sharedFirst[b.inBlock + t];
        inverse[t] = sharedSecond[b.inBlock + t];
    }
}

void writePixels(inout Walk at, uint count) {
    Walk to = at;
    vec4 x[ahead][2];
    [[unroll]] for (uint k = 0u; k < ahead; ++k) {
        if (k < count) {
            x[k] = source_readTexels(p.source, p.offsetX + at.x, p.offsetY + at.y, b.slice, b.image,
                                     p.clampEdges);
            retreat(at);
        }
    }
    [[unroll]] for (uint k = 0u; k < ahead; ++k) {
        if (k < count) {
            EACH_TEXEL(t) x[k][t] = (x[k][t] - mean[t]) * inverse[t] + beta[t];
            destination_storeTexels(p.destination, p.clipX + to.x, p.clipY + to.y, b.slice, b.image, x[k]);
            retreat(to);
        }
    }
}

void main() {
    uint slices = slicesOf(p.source);
    b = blockOf(p.chunks, p.blockSlices, p.blockLanes, p.blocks, p.parts, slices);
    if (!b.valid) return;
    uint results = p.clipWidth * p.clipHeight;
    if (stage == sumsChunks && b.merges && results == 0u && b.part > 0u) return; // statistics only
    uint pixels = p.source.width * p.source.height, first = b.part * p.partPixels;
    uint items = b.merges ? p.parts : min(p.partPixels, pixels - min(pixels, first));
    if (b.exists && b.merges) addParts();
    else if (b.exists) {
        uint left = itemsOf(b.lane, b.lanes, items);
        Walk at = walkFrom(first + b.lane, b.lanes, p.source.width);
        float count = 0.0;
        for (; left >= ahead; left -= ahead, count += float(ahead)) addPixels(at, count, ahead);
        for (; left > 0u; --left, count += 1.0) addPixels(at, count, 1u);
    }
    addUp(items);
    bool leads = b.exists && b.lane == 0u;
    if (stage == sumsPart || stage == sumsMerge || stage == sumsChunks && !b.merges) {
        uint at = ((stage == sumsMerge ? b.image : b.image * p.parts + b.part) * slices + b.slice) * 2u;
        if (leads)
            EACH_TEXEL(t) {
                sums[at + t * 2u] = own[t].mean;
                sums[at + t * 2u + 1u] = own[t].squares;
            }
        return;
    }
    shareStatistics(leads);
    if (stage == sumsWhole || !b.exists) return;

    EACH_TEXEL(t) {
        inverse[t] *= gammas[b.slice + t];
        beta[t] = betas[b.slice + t];
    }
    // Backwards, since what was read last is still in the caches.
    first = b.part * p.resultPixels;
    items = min(p.resultPixels, results - min(results, first));
    uint left = itemsOf(b.lane, b.lanes, items);
    Walk at = walkFromLast(first, items, b.lane, b.lanes, p.clipWidth);
    for (; left >= ahead; left -= ahead) writePixels(at, ahead);
    for (; left > 0u; --left) writePixels(at, 1u);
}
