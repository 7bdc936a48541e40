// Weights of a data source for Winograd's transformations. An invocation has one channel that is summed over
// and one of the result; neighbours are in blocks of 8 by 16 of them, which read and write whole sectors
// whichever of the two are neighbours in the data source. The includer includes CNNConvolutionPack.glsl.
layout(set = 0, binding = 1, std430) readonly buffer Source {
    float source[];
};
layout(set = 0, binding = 2, std430) writeonly buffer Matrices {
    float matrices[];
};
layout(set = 0, binding = 3, std430) readonly buffer Scale {
    float scale[]; // per output channel
};

uint reducedChannels() {
    return parameters.transposed != 0u ? parameters.outputChannels : parameters.inputChannels;
}

uint resultChannels() {
    return parameters.transposed != 0u ? parameters.inputChannels : parameters.outputChannels;
}

// Channel that is summed over, of `rows`, and of the result.
uvec2 placeOfWeight(uint i, uint rows) {
    uint block = i / 128u, down = rows / 8u;
    return uvec2(block % down * 8u + i / 8u % 8u, block / down * 16u + i / 64u % 2u * 8u + i % 8u);
}

// A data gradient, seen as a convolution of the incoming gradient, has its taps turned around.
float weightOf(uint reduced, uint result, uint tap) {
    bool transposed = parameters.transposed != 0u;
    uint o = transposed ? reduced : result, c = transposed ? result : reduced;
    if (o >= parameters.outputChannels || c >= parameters.inputChannels) {
        return 0.0;
    }
    uint taps = parameters.kernelWidth * parameters.kernelHeight;
    tap = transposed ? taps - 1u - tap : tap;
    float value =
        source[parameters.sourceOffset + (o * taps + tap) * parameters.inputChannels + c];
    if (parameters.hasScale != 0u) {
        value *= scale[o];
    }
    return parameters.roundToHalf != 0u ? roundedToHalf(vec4(value)).x : value;
}
