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
    const uint span = winogradSpan;
    vec4 rows[3][span];
    [[unroll]] for (uint r = 0u; r < span; ++r) {
        vec4 x[span];
        [[unroll]] for (uint q = 0u; q < span; ++q) {
            x[q] = matrices[i + (q * span + r) * parameters.positionTexels];
        }
        vec4 column[3] = winogradWeightsGradient(x[0], x[1], x[2], x[3], x[4], x[5]);
        [[unroll]] for (uint q = 0u; q < 3u; ++q) {
            rows[q][r] = column[q];
        }
    }
    uint o = i / parameters.rowTexels, c = (i - o * parameters.rowTexels) * 4u;
    bool transposed = parameters.transposed != 0u;
    uint first = transposed ? c * 9u * parameters.resultChannels + o
                            : o * 9u * parameters.channels + c;
    uint tapStep = transposed ? parameters.resultChannels : parameters.channels;
    uint step = transposed ? 9u * parameters.resultChannels : 1u;
    uint lanes = min(4u, parameters.channels - c);
    [[unroll]] for (uint q = 0u; q < 3u; ++q) {
        vec4 row[3] = winogradWeightsGradient(rows[q][0], rows[q][1], rows[q][2], rows[q][3],
                                              rows[q][4], rows[q][5]);
        [[unroll]] for (uint r = 0u; r < 3u; ++r) {
            uint tap = transposed ? 8u - (q * 3u + r) : q * 3u + r;
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
