// Weights of a data source to the layout of CNNConvolution.h, or to that of CNNConvolutionGrouped.comp:
// [q][r][slice][k][tile][n].
#version 450
#extension GL_GOOGLE_include_directive : require
#include "CNNConvolutionPack.glsl"

layout(set = 0, binding = 1, std430) readonly buffer Source {
    float source[];
};
layout(set = 0, binding = 2, std430) writeonly buffer Packed {
    vec4 packed[];
};
layout(set = 0, binding = 2, std430) writeonly buffer Halves {
    uvec2 packedHalves[];
};
layout(set = 0, binding = 3, std430) readonly buffer Scale {
    float scale[]; // per output channel
};

layout(set = 0, binding = 1, std430) readonly buffer SourceTexels {
    vec4 sourceTexels[];
};

// 1: with isPlain, the data source's channels fill whole texels, and taps are not merged.
layout(constant_id = 41) const uint wholeTexels = 0u;

// 1: to the second layout.
layout(constant_id = 42) const uint isGrouped = 0u;

uint placeOfTexel(uint at) {
    if (isGrouped == 0u) {
        return at;
    }
    uint texels = parameters.tileTexels, rows = packedTaps(parameters) * parameters.tileSlices * 4u;
    uint row = at / texels, tile = row / rows;
    return ((row - tile * rows) * parameters.tiles + tile) * texels + at % texels;
}

// All is found before the first load, and what is not there is read elsewhere: a load in a branch
// waits for those before it.
void loadWeights(PackedBlock block, out vec4 weights[4]) {
    PackedWeight places[4][4];
    [[unroll]] for (uint row = 0u; row < 4u; ++row)
        [[unroll]] for (uint column = 0u; column < 4u; ++column) {
            places[row][column] = packedWeight(block, min(row, block.rows - 1u), column);
        }
    [[unroll]] for (uint row = 0u; row < 4u; ++row)
        [[unroll]] for (uint column = 0u; column < 4u; ++column) {
            PackedWeight w = places[row][column];
            float value = source[parameters.sourceOffset + (w.used ? w.index : 0u)];
            weights[row][column] = w.used ? value : 0.0;
        }
    if (isPlain == 0u && parameters.hasScale != 0u) {
        [[unroll]] for (uint row = 0u; row < 4u; ++row)
            [[unroll]] for (uint column = 0u; column < 4u; ++column) {
                PackedWeight w = places[row][column];
                weights[row][column] *= scale[w.used ? w.outputChannel : 0u];
            }
    }
}

// The same by four channels of the data source at once: along a row, or down a column.
void loadTexels(PackedBlock block, out vec4 weights[4]) {
    bool transposed = parameters.transposed != 0u;
    PackedWeight places[4];
    [[unroll]] for (uint k = 0u; k < 4u; ++k) {
        places[k] = packedWeight(block, transposed ? k : 0u, transposed ? 0u : k);
    }
    mat4 texels;
    [[unroll]] for (uint k = 0u; k < 4u; ++k) {
        texels[k] = sourceTexels[(parameters.sourceOffset + (places[k].used ? places[k].index : 0u)) / 4u];
    }
    [[unroll]] for (uint k = 0u; k < 4u; ++k) {
        texels[k] = places[k].used ? texels[k] : vec4(0.0);
    }
    texels = transposed ? texels : transpose(texels);
    [[unroll]] for (uint row = 0u; row < 4u; ++row) {
        weights[row] = texels[row];
    }
}

void main() {
    uint i = gridIndex();
    if (i >= packedBlockCount(parameters)) {
        return;
    }
    PackedBlock block = packedBlock(i);
    vec4 weights[4];
    if (wholeTexels != 0u) {
        loadTexels(block, weights);
    } else {
        loadWeights(block, weights);
    }
    if (parameters.roundToHalf != 0u) {
        [[unroll]] for (uint row = 0u; row < 4u; ++row) {
            weights[row] = roundedToHalf(weights[row]);
        }
    }
    [[unroll]] for (uint row = 0u; row < 4u; ++row) if (row < block.rows) {
        uint at = placeOfTexel(block.first + row * block.stride);
        if (parameters.inHalves != 0u) {
            packedHalves[at] =
                uvec2(packHalf2x16(weights[row].xy), packHalf2x16(weights[row].zw));
        } else {
            packed[at] = weights[row];
        }
    }
}
