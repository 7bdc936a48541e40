// Weights of a data source as Winograd's products read them. An invocation has one channel that is
// summed over and one of the result; neighbours are in blocks of 8 by 16 of them, which read and write
// whole sectors whichever of the two are neighbours in the data source.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "CNNConvolutionPack.glsl"
#include "winograd.glsl"

layout(set = 0, binding = 1, std430) readonly buffer Source {
    float source[];
};
layout(set = 0, binding = 2, std430) writeonly buffer Matrices {
    float matrices[];
};
layout(set = 0, binding = 3, std430) readonly buffer Scale {
    float scale[]; // per output channel
};

const uint taps = TAPS * TAPS;

float weightOf(uint reduced, uint result, uint tap) {
    bool transposed = parameters.transposed != 0u;
    uint o = transposed ? reduced : result, c = transposed ? result : reduced;
    if (o >= parameters.outputChannels || c >= parameters.inputChannels) {
        return 0.0;
    }
    float value =
        source[parameters.sourceOffset + (o * taps + tap) * parameters.inputChannels + c];
    if (parameters.hasScale != 0u) {
        value *= scale[o];
    }
    return value;
}

void main() {
    bool transposed = parameters.transposed != 0u;
    uint rows = winogradRows(transposed ? parameters.outputChannels : parameters.inputChannels);
    uint columns =
        ((transposed ? parameters.inputChannels : parameters.outputChannels) + 3u) / 4u * 4u;
    uint i = gridIndex(), block = i / 128u, down = rows / 8u;
    uint row = block % down * 8u + i / 8u % 8u;
    uint column = block / down * 16u + i / 64u % 2u * 8u + i % 8u;
    if (column >= columns) {
        return;
    }
    // A data gradient, seen as a convolution of the incoming gradient, has its taps turned around.
    float made[mostSpan][mostTaps];
    [[unroll]] for (uint r = 0u; r < TAPS; ++r) {
        float w[mostTaps];
        [[unroll]] for (uint q = 0u; q < TAPS; ++q) {
            uint tap = q * TAPS + r;
            w[q] = weightOf(row, column, transposed ? taps - 1u - tap : tap);
            if (parameters.roundToHalf != 0u) {
                w[q] = roundedToHalf(vec4(w[q])).x;
            }
        }
        [[unroll]] for (uint pair = 0u; pair < pairs; ++pair) {
            vec2 two = winogradWeights(w, pair);
            made[2u * pair][r] = two.x;
            made[2u * pair + 1u][r] = two.y;
        }
    }
    [[unroll]] for (uint q = 0u; q < span; ++q) {
        [[unroll]] for (uint pair = 0u; pair < pairs; ++pair) {
            vec2 two = winogradWeights(made[q], pair);
            uint position = q * span + 2u * pair;
            matrices[(position * rows + row) * columns + column] = two.x;
            matrices[((position + 1u) * rows + row) * columns + column] = two.y;
        }
    }
}
