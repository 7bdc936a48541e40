// The packed layout of convolution weights, see CNNConvolution.h.
#include "CNNConvolution.h"
#include "grid.glsl"

layout(local_size_x = 64) in;

layout(set = 0, binding = 0) uniform Block {
    CNNConvolutionPackParameters parameters;
};

struct PackedWeight {
    bool used;          // false: padding, zero
    uint index;         // in the data source's layout
    uint outputChannel;
};

uint depthwiseTexels() {
    return (parameters.outputChannels + 3u) / 4u;
}

uint packedCount() {
    uint taps = parameters.kernelWidth * parameters.kernelHeight;
    if (parameters.tileTexels == 0u) {
        return taps * depthwiseTexels() * 4u;
    }
    if (parameters.mergedTaps != 0u) {
        taps = parameters.kernelHeight;
    }
    return parameters.tiles * taps * parameters.tileSlices * 16u * parameters.tileTexels;
}

// A sub-pixel convolution pads the channels of each of its blocks to whole texels.
uint unpaddedChannel(uint channel) {
    uint block = parameters.outputChannels / parameters.subPixelBlocks;
    uint padded = (block + 3u) / 4u * 4u;
    uint within = channel % padded;
    return within < block ? channel / padded * block + within : 0xffffffffu;
}

uint sourceTap(uint tap) {
    uint last = parameters.kernelWidth * parameters.kernelHeight - 1u;
    return parameters.rotated != 0u ? last - tap : tap;
}

PackedWeight packedWeight(uint i) {
    uint taps = parameters.kernelWidth * parameters.kernelHeight;
    if (parameters.tileTexels == 0u) {
        uint channel = i % (4u * depthwiseTexels());
        uint tap = sourceTap(i / (4u * depthwiseTexels()));
        return PackedWeight(channel < parameters.outputChannels, channel * taps + tap, channel);
    }
    uint tileChannels = 4u * parameters.tileTexels;
    uint inputs = parameters.inputChannels / parameters.groups;
    uint outputs = parameters.outputChannels / parameters.groups;
    uint n = i % tileChannels;
    i /= tileChannels;
    uint reduced = i % (4u * parameters.tileSlices);
    i /= 4u * parameters.tileSlices;
    if (parameters.mergedTaps != 0u) {
        uint column = reduced / 4u;
        if (column >= parameters.kernelWidth) {
            return PackedWeight(false, 0u, 0u);
        }
        reduced %= 4u;
        i = i * parameters.kernelWidth + column;
    }
    uint tap = sourceTap(i % taps);
    uint tile = i / taps;

    uint result = tile * tileChannels + n;
    if (parameters.transposed == 0u) {
        if (parameters.groups > 1u) {
            reduced += 4u * tileFirstSlice(tile, tileChannels, outputs, inputs);
        }
        uint o = unpaddedChannel(result);
        uint c = reduced - o / outputs * inputs;
        bool used = o < parameters.outputChannels && c < inputs;
        return PackedWeight(used, (o * taps + tap) * inputs + c, o);
    }
    reduced += 4u * tileFirstSlice(tile, tileChannels, inputs, outputs);
    uint group = result / inputs;
    bool used = result < parameters.inputChannels && reduced < parameters.outputChannels &&
                reduced / outputs == group;
    return PackedWeight(used, (reduced * taps + tap) * inputs + result % inputs, reduced);
}
