// The gradients of weights and biases of layers with few results, one pixel of source and gradient each.
// A workgroup has COLUMNS texels of source channels, the last of all standing for the biases, and a texel
// of results; rows of invocations take turns with the images.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "CNNConvolution.h"
#include "image.glsl"

layout(local_size_x_id = 32) in;
layout(constant_id = 33) const uint COLUMNS = 16u;
layout(set = 0, binding = 0) uniform Block { CNNConvolutionWeightsParameters p; };
IMAGE_SOURCE(1, gradient)
IMAGE_SOURCE(2, source)
layout(set = 0, binding = 3, std430) buffer WeightsGradient { float weightsGradient[]; };
layout(set = 0, binding = 4, std430) buffer BiasGradient { float biasGradient[]; };

const uint TURNS = gl_WorkGroupSize.x / COLUMNS;
const uint AHEAD = 4u; // loads under way at once
shared vec4 groupSums[4][gl_WorkGroupSize.x];

void main() {
    uint thread = gl_LocalInvocationID.x, turn = thread / COLUMNS;
    uint slices = (p.source.channels + 3u) / 4u;
    uint slice = gl_WorkGroupID.x * COLUMNS + thread % COLUMNS, results = gl_WorkGroupID.y;
    vec4 sums[4] = vec4[4](vec4(0.0), vec4(0.0), vec4(0.0), vec4(0.0)); // of a result each
    for (uint first = turn; first < p.images; first += TURNS * AHEAD) {
        vec4 e[AHEAD], x[AHEAD];
        [[unroll]] for (uint k = 0u; k < AHEAD; ++k) {
            uint image = min(first + k * TURNS, p.images - 1u);
            e[k] = gradient_load(p.gradient, 0, 0, results, image);
            x[k] = source_load(p.source, p.originX, p.originY, min(slice, slices - 1u), image);
        }
        [[unroll]] for (uint k = 0u; k < AHEAD; ++k) {
            if (first + k * TURNS >= p.images) e[k] = vec4(0.0);
            if (slice >= slices) x[k] = vec4(1.0, 0.0, 0.0, 0.0);
            [[unroll]] for (uint r = 0u; r < 4u; ++r) sums[r] = fma(vec4(e[k][r]), x[k], sums[r]);
        }
    }
    [[unroll]] for (uint r = 0u; r < 4u; ++r) groupSums[r][thread] = sums[r];
    barrier();
    if (turn >= 4u || slice > slices) return;
    uint result = results * 4u + turn;
    if (result >= p.outputChannels) return;
    vec4 sum = vec4(0.0);
    for (uint other = 0u; other < TURNS; ++other) sum += groupSums[turn][other * COLUMNS + thread % COLUMNS];
    bool accumulate = p.accumulate != 0u;
    if (slice == slices) {
        biasGradient[result] = accumulate ? biasGradient[result] + sum.x : sum.x;
        return;
    }
    for (uint lane = 0u; lane < 4u && slice * 4u + lane < p.source.channels; ++lane) {
        uint at = result * p.source.channels + slice * 4u + lane;
        weightsGradient[at] = accumulate ? weightsGradient[at] + sum[lane] : sum[lane];
    }
}
