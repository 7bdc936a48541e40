// The packed layout of convolution weights, see CNNConvolution.h, of which an invocation has a block.
#extension GL_EXT_control_flow_attributes : require
#include "CNNConvolution.h"
layout(local_size_x = 64) in;
#include "grid.glsl"

// 1: one group, no sub-pixels, no scales. A kernel that runs for a few microseconds takes as long to load
// its code.
layout(constant_id = 40) const uint isPlain = 0u;

layout(set = 0, binding = 0) uniform Block {
    CNNConvolutionPackParameters parameters;
};

struct PackedBlock {
    uint first;   // texel of packed weights; its rows are `stride` texels apart
    uint stride, rows;
    uint result;  // first result channel
    uint reduced; // first channel that is summed over, 0xffffffff: all padding
    uint tap;
};

struct PackedWeight {
    bool used;          // false: padding, zero
    uint index;         // in the data source's layout
    uint outputChannel;
};

// A sub-pixel convolution pads the channels of each of its blocks to whole texels.
uint unpaddedChannel(uint channel) {
    if (isPlain != 0u || parameters.subPixelBlocks == 1u) {
        return channel;
    }
    uint block = parameters.outputChannels / parameters.subPixelBlocks;
    uint padded = (block + 3u) / 4u * 4u;
    uint within = channel % padded;
    return within < block ? channel / padded * block + within : 0xffffffffu;
}

uint sourceTap(uint tap) {
    uint last = parameters.kernelWidth * parameters.kernelHeight - 1u;
    return parameters.rotated != 0u ? last - tap : tap;
}

PackedBlock packedBlock(uint i) {
    if (isPlain == 0u && parameters.tileTexels == 0u) {
        uint texels = (parameters.outputChannels + 3u) / 4u, tap = i / texels;
        return PackedBlock(i, 0u, 1u, (i - tap * texels) * 4u, 0u, sourceTap(tap));
    }
    uint texels = parameters.tileTexels, slices = parameters.tileSlices;
    uint taps = packedTaps(parameters);
    uint row = i / texels, texel = i - row * texels;
    uint tapRow = row / slices, slice = row - tapRow * slices;
    uint tile = tapRow / taps, tap = tapRow - tile * taps;
    uint reduced = slice * 4u;
    if (parameters.mergedTaps != 0u) {
        reduced = slice < parameters.kernelWidth ? 0u : 0xffffffffu;
        tap = tap * parameters.kernelWidth + slice;
    } else if (isPlain == 0u && parameters.groups > 1u) {
        uint ofInputs = parameters.inputChannels / parameters.groups;
        uint ofOutputs = parameters.outputChannels / parameters.groups;
        bool transposed = parameters.transposed != 0u;
        reduced += 4u * tileFirstSlice(tile, 4u * texels, transposed ? ofInputs : ofOutputs,
                                       transposed ? ofOutputs : ofInputs);
    }
    return PackedBlock(row * 4u * texels + texel, texels, 4u, (tile * texels + texel) * 4u, reduced,
                       sourceTap(tap));
}

PackedWeight packedWeight(PackedBlock block, uint row, uint column) {
    uint taps = parameters.kernelWidth * parameters.kernelHeight;
    uint result = block.result + column, reduced = block.reduced + row;
    if (isPlain == 0u && parameters.tileTexels == 0u) {
        return PackedWeight(result < parameters.outputChannels, result * taps + block.tap, result);
    }
    if (block.reduced == 0xffffffffu) {
        return PackedWeight(false, 0u, 0u);
    }
    uint inputs = parameters.inputChannels;
    bool transposed = parameters.transposed != 0u;
    uint o = transposed ? reduced : unpaddedChannel(result), c = transposed ? result : reduced;
    if (isPlain == 0u && parameters.groups > 1u) {
        inputs /= parameters.groups;
        c -= o / (parameters.outputChannels / parameters.groups) * inputs;
    }
    bool used = o < parameters.outputChannels && c < inputs;
    return PackedWeight(used, (o * taps + block.tap) * inputs + c, o);
}

// To the nearest 16-bit floats, halves to even. packHalf2x16 may round either way.
vec4 roundedToHalf(vec4 x) {
    uvec4 magnitude = floatBitsToUint(x) & 0x7fffffffu;
    uvec4 rounded = (magnitude + 0xfffu + (magnitude >> 13 & 1u)) & ~0x1fffu;
    rounded = mix(rounded, uvec4(0x7f800000u), greaterThanEqual(rounded, uvec4(0x47800000u)));
    // Below 2^-14 the spacing is 2^-24, that of floats at 0.5.
    precise vec4 shifted = uintBitsToFloat(magnitude) + 0.5;
    precise vec4 small = shifted - 0.5;
    rounded = mix(rounded, floatBitsToUint(small), lessThan(magnitude, uvec4(0x38800000u)));
    rounded |= floatBitsToUint(x) & 0x80000000u;
    rounded = mix(rounded, floatBitsToUint(x), greaterThanEqual(magnitude, uvec4(0x7f800000u)));
    return uintBitsToFloat(rounded);
}
