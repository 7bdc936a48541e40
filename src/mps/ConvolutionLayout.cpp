#include "mps/ConvolutionWeights.hpp"
#include "mps/DeviceTable.hpp"
#include "mps/GroupedTile.hpp"
#include "mps/ThinTile.hpp"
#include "mtl/Device.hpp"
#include "vk/Instance.hpp"

#include <algorithm>

namespace mpsvk::mps {

namespace {

vk::BufferSlice allocate(const MTL::Device& device, uint64_t floats) {
    auto& vk = *device.impl().vk;
    auto memory =
        vk.memory().allocate(std::max<uint64_t>(floats, 4) * sizeof(float), vk::MemoryKind::Device);
    vk.clearBeforeUse(memory);
    return vk::whole(std::move(memory));
}

} // namespace

ConvolutionShape::ConvolutionShape(const MPS::CNNConvolutionDescriptor& d, bool isFlat)
    : inputs(uint32_t(d.inputFeatureChannels())), outputs(uint32_t(d.outputFeatureChannels())),
      groups(uint32_t(d.channelMultiplier() ? d.inputFeatureChannels() : d.groups())),
      kernelWidth(uint32_t(d.kernelWidth())), kernelHeight(uint32_t(d.kernelHeight())),
      subPixelScale(uint32_t(d.subPixelScaleFactor())), depthwise(d.channelMultiplier() != 0),
      flat(isFlat) {
    if (!flat) return;
    inputs *= kernelWidth * kernelHeight;
    kernelWidth = kernelHeight = 1;
}

ConvolutionTile chooseTile(const vk::Device& device, uint32_t groups, uint32_t perGroup,
                           uint32_t reducedPerGroup, uint32_t results, bool flat) {
    ConvolutionTile tile;
    // There registers and broadcasts are what counts.
    if (isCpuWith(device, "direct_tile") || vk::isDisabled("shared_tile")) {
        tile.subgroup = device.features().subgroupBroadcast;
        tile.texels = (groups == 1 || perGroup % 16 == 0) && results > 4 ? 4 : 1;
        return tile;
    }
    tile.tiled = true;
    const bool wide = groups == 1 && results >= 128 && hasWideTiles(tileLimits(device));
    tile.texels = wide ? 32 : groups == 1 || perGroup % 64 == 0 ? 16 : 4;
    if (results <= 32 && groups == 1) tile.texels = 8;
    if (results <= 16) tile.texels = 4;
    if (groups > 1 && perGroup % 16 != 0) tile.texels = perGroup % 8 == 0 ? 2 : 1;
    tile.grouped = groups > 1 && std::max(perGroup, reducedPerGroup) <= GroupedTile::mostChannels &&
                   !vk::isDisabled("grouped_tile");
    if (tile.grouped) tile.texels = 1;
    // A flat product has few rows: low tiles give the device more workgroups.
    tile.tiledPixels = tile.texels == 1 || flat ? 4 : 8;
    tile.lanes = tile.texels == 32 ? 256 : tile.texels >= 8 ? 128 : tile.texels == 2 ? 32 : 64;
    if (hasLittleMemory(tileLimits(device))) {
        tile.tiledPixels = 4;
        if (tile.texels == 1) tile.lanes = 32;
    }
    return tile;
}

uint32_t tileSlices(uint32_t tiles, uint32_t tileChannels, uint32_t results,
                    uint32_t resultPerGroup, uint32_t reducedPerGroup) {
    uint32_t most = 0;
    for (uint32_t tile = 0; tile < tiles; ++tile) {
        const uint32_t first =
            glsl::tileFirstSlice(tile, tileChannels, resultPerGroup, reducedPerGroup);
        const uint32_t end =
            glsl::tileEndSlice(tile, tileChannels, results, resultPerGroup, reducedPerGroup);
        if (end > first) most = std::max(most, end - first);
    }
    return most;
}

ConvolutionWeights::Layout ConvolutionWeights::makeLayout(bool flat) const {
    Layout made{ConvolutionShape(descriptor_, flat), {}};
    const ConvolutionShape& s = made.shape;
    const bool transposed = isDataGradient();
    const uint32_t blocks = s.subPixelScale * s.subPixelScale;
    const uint32_t blockSlices = uint32_t(slicesFor(s.outputs / blocks));
    made.resultSlices = transposed ? uint32_t(slicesFor(s.inputs)) : blocks * blockSlices;
    made.resultPerGroup = transposed ? s.inputsPerGroup() : s.outputsPerGroup();
    made.reducedPerGroup = transposed ? s.outputsPerGroup() : s.inputsPerGroup();
    if (blocks > 1 && s.groups == 1) made.resultPerGroup = 4 * made.resultSlices;
    uint64_t packedFloats;
    if (s.depthwise) {
        packedFloats = uint64_t(s.kernelWidth) * s.kernelHeight * vk::roundUp(s.outputs, 4);
    } else {
        const uint32_t results = transposed   ? s.inputs
                                 : blocks > 1 ? 4 * made.resultSlices
                                              : s.outputs;
        made.tile = chooseTile(*device_.impl().vk, s.groups, made.resultPerGroup,
                               made.reducedPerGroup, results, flat);
        made.tiles = uint32_t(vk::divideUp(made.resultSlices, made.tile.texels));
        made.tileSlices = tileSlices(made.tiles, 4 * made.tile.texels, results, made.resultPerGroup,
                                     made.reducedPerGroup);
        packedFloats = uint64_t(made.tiles) * s.kernelWidth * s.kernelHeight * made.tileSlices *
                       16 * made.tile.texels;
    }
    const uint64_t channels =
        s.depthwise ? vk::roundUp(s.outputs, 4) : uint64_t(made.tiles) * made.tile.texels * 4;
    made.floats.memory = allocate(device_, packedFloats);
    // Steps of 32 channels; see glsl/gemmTiles.glsl.
    const bool gathers = use_ == Use::Forward || use_ == Use::TransposeDataGradient;
    made.mergesTaps = gathers && s.groups == 1 && made.tileSlices == 1 && s.kernelWidth > 1;
    if (device_.impl().vk->features().cooperativeMatrix && made.tile.texels >= 4 && blocks == 1 &&
        !s.depthwise && (made.reducedPerGroup % 8 == 0 || made.mergesTaps)) {
        made.halfSlices =
            uint32_t(vk::roundUp(made.mergesTaps ? s.kernelWidth : made.tileSlices, 8));
        const uint64_t rows = uint64_t(made.tiles) * s.kernelHeight *
                              (made.mergesTaps ? 1 : s.kernelWidth) * made.halfSlices * 4;
        made.halves.memory = allocate(device_, rows * 4 * made.tile.texels / 2);
    }
    made.thin = gathers && s.groups == 1 && !s.depthwise && !flat && blocks == 1 &&
                made.reducedPerGroup <= mostThinChannels && hasThinTiles(*device_.impl().vk);
    if (made.thin || (made.tile.grouped && blocks == 1))
        made.grouped.memory = allocate(device_, packedFloats);
    made.channels = allocate(device_, 2 * channels);
    made.parameters = {
        .outputChannels = s.outputs,
        .inputChannels = s.inputs,
        .groups = s.groups,
        .kernelWidth = s.kernelWidth,
        .kernelHeight = s.kernelHeight,
        .tileTexels = s.depthwise ? 0 : made.tile.texels,
        .tiles = made.tiles,
        .tileSlices = made.tileSlices,
        .transposed = transposed,
        .rotated = isTranspose(),
        .subPixelBlocks = blocks,
    };
    return made;
}

} // namespace mpsvk::mps
