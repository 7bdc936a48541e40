// Weights of a data source as Winograd's products read them. An invocation has one channel that is
// summed over and a texel of result channels; neighbours are in blocks of 8 by 4 of them, which read and
// write whole sectors whichever of the two are neighbours in the data source.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "CNNConvolutionPack.glsl"
#include "winograd.glsl"

layout(set = 0, binding = 1, std430) readonly buffer Source {
    float source[];
};
layout(set = 0, binding = 2, std430) writeonly buffer Matrices {
    vec4 matrices[];
};
layout(set = 0, binding = 3, std430) readonly buffer Scale {
    float scale[]; // per output channel
};

float weightOf(uint reduced, uint result, uint tap) {
    bool transposed = parameters.transposed != 0u;
    uint o = transposed ? reduced : result, c = transposed ? result : reduced;
    if (o >= parameters.outputChannels || c >= parameters.inputChannels) {
        return 0.0;
    }
    float value =
        source[parameters.sourceOffset + (o * 9u + tap) * parameters.inputChannels + c];
    if (parameters.hasScale != 0u) {
        value *= scale[o];
    }
    return value;
}

void main() {
    bool transposed = parameters.transposed != 0u;
    uint rows = winogradRows(transposed ? parameters.outputChannels : parameters.inputChannels);
    uint texels =
        ((transposed ? parameters.inputChannels : parameters.outputChannels) + 3u) / 4u;
    uint i = gridIndex(), block = i / 32u, down = rows / 8u;
    uint row = block % down * 8u + i % 8u, texel = block / down * 4u + i / 8u % 4u;
    if (texel >= texels) {
        return;
    }
    // A data gradient, seen as a convolution of the incoming gradient, has its taps turned around.
    vec4 w[9];
    [[unroll]] for (uint tap = 0u; tap < 9u; ++tap) {
        [[unroll]] for (uint n = 0u; n < 4u; ++n) {
            w[tap][n] = weightOf(row, texel * 4u + n, transposed ? 8u - tap : tap);
        }
        if (parameters.roundToHalf != 0u) {
            w[tap] = roundedToHalf(w[tap]);
        }
    }
    vec4 columns[3][6];
    [[unroll]] for (uint r = 0u; r < 3u; ++r) {
        columns[r] = winogradWeights(w[r], w[3u + r], w[6u + r]);
    }
    [[unroll]] for (uint q = 0u; q < winogradSpan; ++q) {
        vec4 made[6] = winogradWeights(columns[0][q], columns[1][q], columns[2][q]);
        [[unroll]] for (uint r = 0u; r < winogradSpan; ++r) {
            matrices[((q * winogradSpan + r) * rows + row) * texels + texel] = made[r];
        }
    }
}
