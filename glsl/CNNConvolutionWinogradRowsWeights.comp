// Weights of a data source as CNNConvolutionWinogradRows.comp reads them: an invocation has a row of taps.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "CNNConvolutionPack.glsl"
#define WINOGRAD_ROWS
#include "winograd.glsl"
#include "winogradWeights.glsl"

void main() {
    uint rows = winogradRowChannels(reducedChannels());
    uint columns = 4u * winogradRowTexels((resultChannels() + 3u) / 4u);
    uint perRow = rows * columns, q = gridIndex() / perRow;
    if (q >= parameters.kernelHeight) {
        return;
    }
    uvec2 at = placeOfWeight(gridIndex() - q * perRow, rows);
    float w[mostTaps];
    [[unroll]] for (uint r = 0u; r < TAPS; ++r) {
        w[r] = weightOf(at.x, at.y, q * TAPS + r);
    }
    uint to = (q * rows + at.x) * span * columns + at.y;
    [[unroll]] for (uint pair = 0u; pair < pairs; ++pair) {
        vec2 two = winogradWeights(w, pair);
        matrices[to + 2u * pair * columns] = two.x;
        matrices[to + (2u * pair + 1u) * columns] = two.y;
    }
}
