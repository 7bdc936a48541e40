// The gradients of gamma and beta, sums of dy*x^ and dy over an image's pixels; and, if a workgroup has
// all pixels of its groups, the gradient of the source as well.
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

void main() {
    uint slices = slicesOf(p.source);
    Block b = blockOf(p.blockSlices, p.blockLanes, p.blocks, stage == sumsMerge ? 1u : p.parts, slices);
    if (b.image >= p.images) return; // the whole workgroup
    uint pixels = p.regionWidth * p.regionHeight;
    uint first = b.part * p.partPixels;
    uint items = stage == sumsMerge ? p.parts : min(p.partPixels, pixels - min(pixels, first));
    vec4 mean = vec4(0.0), inverse = vec4(0.0);
    if (b.exists) {
        mean = statistics[b.image * p.statisticsStride + b.slice];
        inverse = statistics[b.image * p.statisticsStride + slices + b.slice];
    }

    vec4 products = vec4(0.0), gradients = vec4(0.0);
    if (b.exists && stage == sumsMerge) {
        for (uint i = b.lane; i < items; i += b.lanes) {
            uint at = ((b.image * items + i) * slices + b.slice) * 2u;
            products += partials[at];
            gradients += partials[at + 1u];
        }
    } else if (b.exists) {
        Walk at = walkFrom(first + b.lane, b.lanes, p.regionWidth);
        int toSourceX = p.regionX - p.gradientOffsetX + p.sourceOffsetX;
        int toSourceY = p.regionY - p.gradientOffsetY + p.sourceOffsetY;
        for (uint i = b.lane; i < items; i += b.lanes) {
            vec4 dy = gradient_load(p.gradient, p.regionX + at.x, p.regionY + at.y, b.slice, b.image);
            vec4 x = source_read(p.source, toSourceX + at.x, toSourceY + at.y, b.slice, b.image, p.clampEdges);
            products += dy * (x - mean);
            gradients += dy;
            advance(at);
        }
    }
    for (uint step = b.lanes / 2u; step > 0u; step >>= 1) {
        uint thread = gl_LocalInvocationID.x;
        if (b.lane >= step && b.lane < 2u * step) {
            sharedFirst[thread - step * p.blockLanes] = products;
            sharedSecond[thread - step * p.blockLanes] = gradients;
        }
        barrier();
        if (b.lane < step) {
            products += sharedFirst[thread];
            gradients += sharedSecond[thread];
        }
        barrier();
    }
    bool leads = b.exists && b.lane == 0u;
    if (stage == sumsPart) {
        uint at = ((b.image * p.parts + b.part) * slices + b.slice) * 2u;
        if (leads) {
            sums[at] = products;
            sums[at + 1u] = gradients;
        }
        return;
    }
    products *= inverse;
    if (leads) {
        gradientForGamma[b.image * p.gammaStride + b.slice] = products;
        gradientForBeta[b.image * p.betaStride + b.slice] = gradients;
    }
    if (stage != sumsResult) return;

    vec4 gamma = b.exists ? gammas[b.slice] : vec4(0.0);
    if (leads) {
        sharedFirst[b.inBlock] = gamma * products;
        sharedSecond[b.inBlock] = gamma * gradients;
    }
    barrier();
    vec4 meanTerm = vec4(0.0), slopeTerm = vec4(0.0);
    if (leads)
        groupTerms(0u, b.inBlock, p.source.channels - (b.slice - b.inBlock) * 4u, p.groupChannels,
                   p.groupElements, meanTerm, slopeTerm);
    barrier();
    if (leads) {
        sharedFirst[b.inBlock] = meanTerm;
        sharedSecond[b.inBlock] = slopeTerm;
    }
    barrier();
    if (!b.exists) return;
    meanTerm = sharedFirst[b.inBlock];
    slopeTerm = sharedSecond[b.inBlock];
    // Backwards, since what was read last is still in the caches.
    uint results = itemsOf(b.lane, b.lanes, p.clipWidth * p.clipHeight);
    if (results == 0u) return;
    Walk at = walkFrom(b.lane + (results - 1u) * b.lanes, b.lanes, p.clipWidth);
    for (uint i = 0u; i < results; ++i) {
        int gradientX = p.gradientOffsetX + at.x, gradientY = p.gradientOffsetY + at.y;
        int sourceX = p.sourceOffsetX + at.x, sourceY = p.sourceOffsetY + at.y;
        vec4 result = vec4(0.0);
        if (inside(p.source, sourceX, sourceY)) {
            vec4 dy = inRegion(p, gradientX, gradientY)
                          ? gradient_load(p.gradient, gradientX, gradientY, b.slice, b.image)
                          : vec4(0.0);
            vec4 x = source_load(p.source, sourceX, sourceY, b.slice, b.image);
            result = sourceGradient(dy, x, gamma, mean, inverse, meanTerm, slopeTerm);
        }
        destination_store(p.destination, p.clipX + at.x, p.clipY + at.y, b.slice, b.image, result);
        retreat(at);
    }
}
