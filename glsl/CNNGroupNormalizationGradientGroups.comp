// The means over each group that the source's gradient needs, from the gradients of gamma and beta.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "CNNGroupNormalization.h"
layout(local_size_x = 64) in;
#include "grid.glsl"
#include "groupNormalizationGradient.glsl"

layout(set = 0, binding = 0) uniform Parameters { CNNGroupNormalizationGradientParameters p; };
layout(set = 0, binding = 5, std430) readonly buffer Gamma { float gammas[]; };
layout(set = 0, binding = 7, std430) writeonly buffer Terms { vec4 terms[]; };
layout(set = 0, binding = 8, std430) readonly buffer GradientForGamma { float gradientForGamma[]; };
layout(set = 0, binding = 9, std430) readonly buffer GradientForBeta { float gradientForBeta[]; };

uint image;

#define GAMMA(C) gammas[C] * gradientForGamma[image * p.gammaStride * 4u + (C)]
#define BETA(C) gammas[C] * gradientForBeta[image * p.betaStride * 4u + (C)]
GROUP_TERMS(groupTerms, GAMMA, BETA)

void main() {
    uint slices = (p.source.channels + 3u) / 4u;
    uint i = gridIndex();
    if (i >= slices * p.images) return;
    image = i / slices;
    vec4 meanTerm, slopeTerm;
    groupTerms(0u, i % slices, p.source.channels, p.groupChannels, p.groupElements, meanTerm, slopeTerm);
    terms[i * 2u] = meanTerm;
    terms[i * 2u + 1u] = slopeTerm;
}
