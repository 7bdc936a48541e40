// The gradients of gamma and beta, sums of dy*x^ and dy over an image's pixels; and, where a workgroup
// has the sums of whole groups, the gradient of the source as well.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "groupNormalization.glsl"
#include "groupNormalizationGradient.glsl"

layout(set = 0, binding = 0) uniform Parameters { CNNGroupNormalizationGradientParameters p; };
IMAGE_SOURCE(1, gradient)
IMAGE_SOURCE(2, source)
IMAGE_EDGE_READ(source)
IMAGE_DESTINATION(3, destination)
layout(set = 0, binding = 4, std430) readonly buffer Statistics { vec4 statistics[]; };
layout(set = 0, binding = 5, std430) readonly buffer Gamma { vec4 gammas[]; };
// Of each slice the sums of dy*(x - mean) and of dy.
layout(set = 0, binding = 6, std430) readonly buffer Partials { vec4 partials[]; };
layout(set = 0, binding = 7, std430) writeonly buffer Sums { vec4 sums[]; };
layout(set = 0, binding = 8, std430) writeonly buffer GradientForGamma { vec4 gradientForGamma[]; };
layout(set = 0, binding = 9, std430) writeonly buffer GradientForBeta { vec4 gradientForBeta[]; };

#define SHARED_GAMMA(C) sharedFirst[(C) / 4u][(C) % 4u]
#define SHARED_BETA(C) sharedSecond[(C) / 4u][(C) % 4u]
GROUP_TERMS(groupTerms, SHARED_GAMMA, SHARED_BETA)

Block b;
vec4 mean[2] = vec4[2](vec4(0.0), vec4(0.0)), inverse[2] = mean, gamma[2] = mean;
vec4 products[2] = mean, gradients[2] = mean, meanTerm[2] = mean, slopeTerm[2] = mean;

void addPixels(inout Walk at, uint count) {
    int toSourceX = p.regionX - p.gradientOffsetX + p.sourceOffsetX;
    int toSourceY = p.regionY - p.gradientOffsetY + p.sourceOffsetY;
    vec4 dy[ahead][2], x[ahead][2];
    [[unroll]] for (uint k = 0u; k < ahead; ++k) {
        if (k < count) {
            dy[k] = gradient_loadTexels(p.gradient, p.regionX + at.x, p.regionY + at.y, b.slice, b.image);
            x[k] = source_readTexels(p.source, toSourceX + at.x, toSourceY + at.y, b.slice, b.image,
                                     p.clampEdges);
            advance(at);
        }
    }
    [[unroll]] for (uint k = 0u; k < ahead; ++k) {
        if (k < count)
            EACH_TEXEL(t) {
                products[t] += dy[k][t] * (x[k][t] - mean[t]);
                gradients[t] += dy[k][t];
            }
    }
}

void addParts() {
    for (uint i = b.lane; i < p.parts; i += b.lanes) {
        uint at = ((b.image * p.parts + i) * slicesOf(p.source) + b.slice) * 2u;
        EACH_TEXEL(t) {
            products[t] += partials[at + t * 2u];
            gradients[t] += partials[at + t * 2u + 1u];
        }
    }
}

void addUp() {
    for (uint step = b.lanes / 2u; step > 0u; step >>= 1) {
        uint thread = gl_LocalInvocationID.x;
        if (b.lane >= step && b.lane < 2u * step) {
            uint at = (thread - step * p.blockLanes) * texels;
            EACH_TEXEL(t) {
                sharedFirst[at + t] = products[t];
                sharedSecond[at + t] = gradients[t];
            }
        }
        barrier();
        if (b.lane < step)
            EACH_TEXEL(t) {
                products[t] += sharedFirst[thread * texels + t];
                gradients[t] += sharedSecond[thread * texels + t];
            }
        barrier();
    }
}

// Gives all lanes the terms of their groups.
void shareTerms(bool leads) {
    if (leads)
        EACH_TEXEL(t) {
            sharedFirst[b.inBlock + t] = gamma[t] * products[t];
            sharedSecond[b.inBlock + t] = gamma[t] * gradients[t];
        }
    barrier();
    if (leads)
        EACH_TEXEL(t)
            groupTerms(0u, b.inBlock + t, p.source.channels - (b.slice - b.inBlock) * 4u, p.groupChannels,
                       p.groupElements, meanTerm[t], slopeTerm[t]);
    barrier();
    if (leads)
        EACH_TEXEL(t) {
            sharedFirst[b.inBlock + t] = meanTerm[t];
            sharedSecond[b.inBlock + t] = slopeTerm[t];
        }
    barrier();
    if (b.exists)
        EACH_TEXEL(t) {
            meanTerm[t] = sharedFirst[b.inBlock + t];
            slopeTerm[t] = sharedSecond[b.inBlock + t];
        }
}

// Pixels that are not there are read from their neighbours: branches around reads cost more.
void writePixels(inout Walk at, uint count) {
    Walk to = at;
    vec4 dy[ahead][2], x[ahead][2];
    [[unroll]] for (uint k = 0u; k < ahead; ++k) {
        if (k < count) {
            int gradientX = clamp(p.gradientOffsetX + at.x, 0, int(p.gradient.width) - 1);
            int gradientY = clamp(p.gradientOffsetY + at.y, 0, int(p.gradient.height) - 1);
            int sourceX = clamp(p.sourceOffsetX + at.x, 0, int(p.source.width) - 1);
            int sourceY = clamp(p.sourceOffsetY + at.y, 0, int(p.source.height) - 1);
            dy[k] = gradient_loadTexels(p.gradient, gradientX, gradientY, b.slice, b.image);
            x[k] = source_loadTexels(p.source, sourceX, sourceY, b.slice, b.image);
            retreat(at);
        }
    }
    [[unroll]] for (uint k = 0u; k < ahead; ++k) {
        if (k < count) {
            bool hasGradient = inRegion(p, p.gradientOffsetX + to.x, p.gradientOffsetY + to.y);
            bool hasSource = inside(p.source, p.sourceOffsetX + to.x, p.sourceOffsetY + to.y);
            EACH_TEXEL(t) {
                if (!hasGradient) dy[k][t] = vec4(0.0);
                x[k][t] = sourceGradient(dy[k][t], x[k][t], gamma[t], mean[t], inverse[t], meanTerm[t],
                                         slopeTerm[t]);
                if (!hasSource) x[k][t] = vec4(0.0);
            }
            destination_storeTexels(p.destination, p.clipX + to.x, p.clipY + to.y, b.slice, b.image, x[k]);
            retreat(to);
        }
    }
}

void main() {
    uint slices = slicesOf(p.source);
    b = blockOf(p.chunks, p.blockSlices, p.blockLanes, p.blocks, p.parts, slices);
    if (!b.valid) return;
    if (b.exists)
        EACH_TEXEL(t) {
            mean[t] = statistics[b.image * p.statisticsStride + b.slice + t];
            inverse[t] = statistics[b.image * p.statisticsStride + slices + b.slice + t];
        }
    if (b.exists && b.merges) addParts();
    else if (b.exists) {
        uint pixels = p.regionWidth * p.regionHeight, first = b.part * p.partPixels;
        uint left = itemsOf(b.lane, b.lanes, min(p.partPixels, pixels - min(pixels, first)));
        Walk at = walkFrom(first + b.lane, b.lanes, p.regionWidth);
        for (; left >= ahead; left -= ahead) addPixels(at, ahead);
        for (; left > 0u; --left) addPixels(at, 1u);
    }
    addUp();
    bool leads = b.exists && b.lane == 0u;
    if (stage == sumsPart || stage == sumsChunks && !b.merges) {
        uint at = ((b.image * p.parts + b.part) * slices + b.slice) * 2u;
        if (leads)
            EACH_TEXEL(t) {
                sums[at + t * 2u] = products[t];
                sums[at + t * 2u + 1u] = gradients[t];
            }
        return;
    }
    EACH_TEXEL(t) products[t] *= inverse[t];
    if (leads && (stage != sumsChunks || b.part == 0u))
        EACH_TEXEL(t) {
            gradientForGamma[b.image * p.gammaStride + b.slice + t] = products[t];
            gradientForBeta[b.image * p.betaStride + b.slice + t] = gradients[t];
        }
    if (stage == sumsMerge) return;

    if (b.exists) EACH_TEXEL(t) gamma[t] = gammas[b.slice + t];
    shareTerms(leads);
    // Backwards, since what was read last is still in the caches.
    uint pixels = p.clipWidth * p.clipHeight, first = b.part * p.resultPixels;
    uint items = min(p.resultPixels, pixels - min(pixels, first));
    uint left = b.exists ? itemsOf(b.lane, b.lanes, items) : 0u;
    Walk at = walkFromLast(first, items, b.lane, b.lanes, p.clipWidth);
    for (; left >= ahead; left -= ahead) writePixels(at, ahead);
    for (; left > 0u; --left) writePixels(at, 1u);
}
