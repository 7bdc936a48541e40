// The second pass of the parameters' gradients: adds the chunks of a slice, in order, to what the
// state holds already.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "CNNBatchNormalization.h"
#include "groupSums.glsl"

const uint size = 256u;
const uint ahead = 2u; // reads under way at once

layout(local_size_x = 256) in;
layout(set = 0, binding = 0) uniform Parameters { CNNBatchNormalizationReduceParameters p; };
layout(set = 0, binding = 1, std430) readonly buffer Partials { vec4 partials[]; };
layout(set = 0, binding = 2, std430) buffer GradientForGamma { float gradientForGamma[]; };
layout(set = 0, binding = 3, std430) buffer GradientForBeta { float gradientForBeta[]; };

void main() {
    uint slice = gl_WorkGroupID.x + gl_WorkGroupID.y * gl_NumWorkGroups.x;
    if (slice * 4u >= p.channels) return; // all of the workgroup
    uint thread = gl_LocalInvocationID.x;
    vec4 gammaSum = vec4(0.0), betaSum = vec4(0.0);
    for (uint first = thread; first < p.chunks; first += ahead * size) {
        vec4 gammas[ahead], betas[ahead];
        [[unroll]] for (uint k = 0u; k < ahead; ++k) {
            uint at = 2u * (slice * p.chunks + min(first + k * size, p.chunks - 1u));
            gammas[k] = partials[at];
            betas[k] = partials[at + 1u];
        }
        [[unroll]] for (uint k = 0u; k < ahead; ++k) {
            if (first + k * size < p.chunks) {
                gammaSum += gammas[k];
                betaSum += betas[k];
            }
        }
    }
    sumsOfGroup(gammaSum, betaSum, 1u);
    if (thread != 0u) return;
    for (uint lane = 0u; lane < 4u && slice * 4u + lane < p.channels; ++lane) {
        uint channel = slice * 4u + lane;
        bool adds = p.previousPixels > 0.0;
        gradientForGamma[channel] = gammaSum[lane] + (adds ? gradientForGamma[channel] : 0.0);
        gradientForBeta[channel] = betaSum[lane] + (adds ? gradientForBeta[channel] : 0.0);
    }
}
