// Biases, then the slopes of a PReLU neuron, padded like the result channels of packed weights:
// bias * scale + shift, scale and shift being those of a folded batch normalization.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "CNNConvolutionPack.glsl"

layout(set = 0, binding = 1, std430) readonly buffer Biases {
    float biases[];
};
layout(set = 0, binding = 2, std430) writeonly buffer Packed {
    float packed[];
};
layout(set = 0, binding = 3, std430) readonly buffer Scale {
    float scale[];
};
layout(set = 0, binding = 4, std430) readonly buffer Shift {
    float shift[];
};
layout(set = 0, binding = 5, std430) readonly buffer Slopes {
    float slopes[];
};

void main() {
    uint i = gridIndex();
    uint texels = parameters.tileTexels == 0u ? (parameters.outputChannels + 3u) / 4u
                                              : parameters.tiles * parameters.tileTexels;
    uint count = 4u * texels;
    if (i >= count) {
        return;
    }
    bool transposed = parameters.transposed != 0u;
    uint channels = transposed ? parameters.inputChannels : parameters.outputChannels;
    uint channel = transposed ? i : unpaddedChannel(i);
    float bias = 0.0;
    float slope = 0.0;
    if (channel < channels) {
        if (parameters.hasBias != 0u) {
            bias = biases[parameters.sourceOffset + channel];
        }
        if (parameters.hasScale != 0u) {
            bias *= scale[channel];
        }
        if (parameters.hasShift != 0u) {
            bias += shift[channel];
        }
        if (parameters.hasSlopes != 0u) {
            slope = slopes[channel];
        }
    }
    packed[i] = bias;
    packed[count + i] = slope;
}
