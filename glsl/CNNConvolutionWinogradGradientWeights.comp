// The gradient of weights from Winograd's products: an invocation has one channel of the incoming
// gradient and a texel of those of the source.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
layout(local_size_x = 64) in;
#include "grid.glsl"
#include "winograd.glsl"

layout(set = 0, binding = 0) uniform Block {
    CNNConvolutionWinogradGradientParameters parameters;
};
layout(set = 0, binding = 1, std430) readonly buffer Matrices {
    vec4 matrices[];
};
layout(set = 0, binding = 2, std430) buffer WeightsGradient {
    float weightsGradient[];
};

void main() {
    uint i = gridIndex();
    if (i >= parameters.resultChannels * parameters.rowTexels) {
        return;
    }
    vec4 rows[mostTaps][mostSpan];
    [[unroll]] for (uint r = 0u; r < span; ++r) {
        vec4 x[mostSpan];
        [[unroll]] for (uint q = 0u; q < span; ++q) {
            x[q] = matrices[i + (q * span + r) * parameters.positionTexels];
        }
        vec4 column[mostTaps] = winogradWeightsGradient(x);
        [[unroll]] for (uint q = 0u; q < TAPS; ++q) {
            rows[q][r] = column[q];
        }
    }
    uint o = i / parameters.rowTexels, c = (i - o * parameters.rowTexels) * 4u;
    bool transposed = parameters.transposed != 0u;
    const uint taps = TAPS * TAPS;
    uint first = transposed ? c * taps * parameters.resultChannels + o
                            : o * taps * parameters.channels + c;
    uint tapStep = transposed ? parameters.resultChannels : parameters.channels;
    uint step = transposed ? taps * parameters.resultChannels : 1u;
    uint lanes = min(4u, parameters.channels - c);
    [[unroll]] for (uint q = 0u; q < TAPS; ++q) {
        vec4 row[mostTaps] = winogradWeightsGradient(rows[q]);
        [[unroll]] for (uint r = 0u; r < TAPS; ++r) {
            uint tap = transposed ? taps - 1u - (q * TAPS + r) : q * TAPS + r;
            [[unroll]] for (uint lane = 0u; lane < 4u; ++lane) {
                uint at = first + tap * tapStep + lane * step;
                if (lane < lanes) {
                    float former = parameters.accumulate != 0u ? weightsGradient[at] : 0.0;
                    weightsGradient[at] = former + row[r][lane];
                }
            }
        }
    }
}
