// Weights of a data source as Winograd's products read them. An invocation has one channel that is
// summed over and one of the result; neighbours are in blocks of 8 by 16 of them, which read and write
// whole sectors whichever of the two are neighbours in the data source.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "CNNConvolutionPack.glsl"
#include "winograd.glsl"
#include "winogradWeights.glsl"

void main() {
    uint rows = winogradRows(reducedChannels()), columns = (resultChannels() + 3u) / 4u * 4u;
    uvec2 at = placeOfWeight(gridIndex(), rows);
    uint row = at.x, column = at.y;
    if (column >= columns) {
        return;
    }
    float made[mostSpan][mostTaps];
    [[unroll]] for (uint r = 0u; r < TAPS; ++r) {
        float w[mostTaps];
        [[unroll]] for (uint q = 0u; q < TAPS; ++q) {
            w[q] = weightOf(row, column, q * TAPS + r);
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
