#include "mps/ConvolutionGradientPass.hpp"

#include "mps/ConvolutionGradientParts.hpp"
#include "mps/DeviceTable.hpp"
#include "mps/GroupedTile.hpp"
#include "mps/NarrowProduct.hpp"
#include "mps/ProductTile.hpp"
#include "mps/ThinGradient.hpp"
#include "mps/TileTrial.hpp"
#include "mps/WinogradGradient.hpp"
#include "mps/WinogradRowsGradient.hpp"
#include "vk/Instance.hpp"

#include <algorithm>
#include <limits>
#include <optional>

namespace mpsvk::mps {

using MPS::CNNConvolutionGradientState;
using Buffers = CNNConvolutionGradientState::Impl;

namespace {

/// The tiles of a gradient are other than the forward kernel's: see
/// glsl/CNNConvolutionGradientWeights.glsl.
ConvolutionTile gradientTile(const vk::Device& device, uint32_t groups, uint32_t perGroup,
                             uint32_t reducedPerGroup, uint32_t results) {
    ConvolutionTile tile = chooseTile(device, groups, perGroup, reducedPerGroup, results, false);
    if (!tile.tiled) return tile;
    tile.tiled = groups == 1 || perGroup % 8 == 0;
    tile.texels = !tile.tiled ? 1 : groups == 1 || perGroup % 64 == 0 ? 16 : 2;
    if (tile.texels == 16 && results <= 32) tile.texels = 8;
    tile.lanes = tile.texels <= 2 ? 32 : 128;
    const bool hasManyColumns = tile.texels == 2 || tile.texels == 8;
    if (hasManyColumns && hasLittleMemory(tileLimits(device))) tile.lanes /= 2;
    return tile;
}

/// Whether the device has tiles of cooperative matrices for such products.
bool hasCooperativeTile(const vk::Device& device, uint32_t shares) {
    return hasTile(tileLimits(device), {.shares = shares, .interiorStep = 32, .rightAlong = false});
}

/// Whether the product can go through cooperative matrices: rows of whole chunks of eight channels.
bool isCooperative(const vk::Device& device, const ConvolutionShape& shape,
                   const glsl::CNNConvolutionWeightsParameters& p, const ImageRun& windows,
                   const ImageRun& taps) {
    return device.features().cooperativeMatrix && shape.groups == 1 && !p.clampEdges &&
           windows.hasPairs(p.gradient) && p.gradient.channels % 8 == 0 &&
           taps.storageConstant() == 1 && (taps.hasPairs(p.source) || p.source.channels % 8 != 0) &&
           hasCooperativeTile(device, 1);
}

/// Whether it can go through the tiles in registers.
bool hasBlocks(const ConvolutionTile& tile, const ConvolutionShape& shape,
               const glsl::CNNConvolutionWeightsParameters& p, const ImageRun& windows,
               const ImageRun& taps) {
    return tile.tiled && shape.groups == 1 && !p.clampEdges && !windows.isTexture() &&
           !taps.isTexture() && !vk::isDisabled("blocks");
}

/// Taps of a row that an invocation of glsl/CNNConvolutionGroupedGradientWeights.comp has.
uint32_t groupedTaps(const glsl::CNNConvolutionWeightsParameters& p) {
    return std::min(GroupedTile::gradientTaps, p.kernelWidth);
}

/// And rows of them. More than one, for which it keeps what it has read, of depthwise convolutions.
uint32_t groupedRows(const glsl::CNNConvolutionWeightsParameters& p, bool diagonal) {
    const bool walks = diagonal && p.strideY == 1 && p.dilationY == 1 &&
                       p.kernelHeight <= GroupedTile::gradientTaps;
    return walks ? p.kernelHeight : 1;
}

/// The tile of that shader, for windows on such images; none where it does not do them.
std::optional<GroupedTile> groupedTile(const vk::Device& device,
                                       const glsl::CNNConvolutionWeightsParameters& p,
                                       const glsl::ImageView& windows, bool keepsHalves,
                                       bool diagonal) {
    const bool isSmall = keepsHalves && groupedRows(p, diagonal) > 1;
    return GroupedTile::of(device, windows.width,
                           isSmall ? GroupedTile::mostHalfWindows : GroupedTile::mostPixels,
                           int(groupedTaps(p)), p.strideX, p.dilationX, p.originX, false);
}

/// Partial sums for groups with few channels: see glsl/CNNConvolutionGroupedGradientWeights.comp.
std::shared_ptr<const vk::BufferSlice>
dispatchGrouped(Encoder& encoder, glsl::CNNConvolutionWeightsParameters& p, const GroupedTile& tile,
                const ImageRun& windows, const ImageRun& source, bool diagonal) {
    const uint32_t taps = groupedTaps(p), rows = groupedRows(p, diagonal);
    const uint64_t columns = uint64_t(p.tiles) * p.tileSlices * vk::divideUp(p.kernelWidth, taps) *
                             (p.kernelHeight / rows);
    const uint32_t most =
        std::min(GroupedTile::gradientSize, encoder.limits().workGroupInvocations);
    const auto lanes = uint32_t(std::min<uint64_t>(columns, most / 2));
    const uint32_t turns = most / lanes;
    const uint64_t groups = vk::divideUp(columns, lanes);
    const uint64_t wanted =
        vk::divideUp(groupsWanted(encoder, GroupedTile::gradientGroupsEach, 8), groups);
    const uint64_t across = vk::divideUp(p.gradient.width, tile.pixels);
    p.blockHeight = 1;
    if (rows > 1) { // as high as leaves a block for each invocation
        const uint64_t blocks = wanted * turns / (across * p.images);
        p.blockHeight = uint32_t(vk::divideUp(p.gradient.height, std::max<uint64_t>(blocks, 1)));
    }
    const uint64_t down = vk::divideUp(p.gradient.height, p.blockHeight);
    const Split split(across * down * p.images, wanted, (rows == 1 ? 4 : 1) * turns, turns);
    p.splits = split.parts;
    p.splitPixels = split.pixels;
    const uint64_t texels = uint64_t(p.kernelWidth) * p.kernelHeight * p.tileSlices + 1;
    auto partials = encoder.scratch(texels * p.tiles * p.tileChannels * p.splits * 16);
    Grid grid{groups * lanes * turns, 1, p.splits};
    grid.texels = texelGrid(1, across, down, p.images);
    encoder.dispatch("CNNConvolutionGroupedGradientWeights", p, grid,
                     {{1, windows}, {2, source}, {3, *partials}},
                     {constant(32, lanes * turns), constant(33, tile.pixels), constant(34, taps),
                      constant(36, uint32_t(p.strideX)), constant(38, uint32_t(p.dilationX)),
                      constant(39, lanes), constant(41, tile.span),
                      constant(42, uint32_t((p.gradient.channels | p.source.channels) % 4 == 0)),
                      constant(43, uint32_t(diagonal)), constant(44, rows)});
    return partials;
}

/// The product that is a gradient of weights. The biases' gradient is its last column, or apart
/// from it: a pass of its own.
struct WeightsProduct {
    ProductShape shape;
    ProductPlan plan;
    bool biasApart = false;
};

/// `shape` is without that column, which may take tiles of its own, and says how many columns a
/// tile may have. A single part has no column of biases.
WeightsProduct planWeights(const vk::Limits& limits, ProductShape shape, bool hasBiases,
                           uint64_t gradientBytes) {
    const double pass = microsecondsToRead(limits.processor, gradientBytes);
    WeightsProduct best{};
    best.plan.microseconds = std::numeric_limits<double>::infinity();
    for (; shape.tileColumns >= 32; shape.tileColumns /= 2) {
        if (!hasTile(limits, shape)) continue;
        WeightsProduct product{shape, planProduct(limits, shape), hasBiases};
        if (hasBiases) {
            product.plan.microseconds += pass;
            ProductShape withBiases = shape;
            withBiases.columns += 4;
            const ProductPlan together = planProduct(limits, withBiases);
            if (together.parts > 1 && together.microseconds <= product.plan.microseconds)
                product = {withBiases, together};
        }
        if (product.plan.microseconds < best.plan.microseconds) best = product;
    }
    return best;
}

/// dW, and db unless `p.transposed`. `windows` has one pixel per window, `taps` is read at them.
void dispatchWeights(Encoder& encoder, const ConvolutionShape& shape,
                     glsl::CNNConvolutionWeightsParameters p, const ImageRun& windows,
                     const ImageRun& taps, CNNConvolutionGradientState::Impl& state) {
    auto& device = encoder.device();
    const bool inHalves = isCooperative(device, shape, p, windows, taps);
    if (dispatchNarrowGradient(encoder, shape, p, windows, taps, state) ||
        dispatchThinGradient(encoder, shape, p, windows, taps, inHalves, state))
        return;
    const uint32_t rows = p.transposed ? shape.inputs : shape.outputs;
    p.resultPerGroup = p.transposed ? shape.inputsPerGroup() : shape.outputsPerGroup();
    p.reducedPerGroup = p.transposed ? shape.outputsPerGroup() : shape.inputsPerGroup();
    const ConvolutionTile tile =
        gradientTile(device, shape.groups, p.resultPerGroup, p.reducedPerGroup, rows);
    const bool blocks = hasBlocks(tile, shape, p, windows, taps);
    const bool reduces =
        blocks && !inHalves && encoder.reducesPrecision() && hasCooperativeTile(device, 2);
    const vk::Limits limits = tileLimits(device);
    const bool splits = blocks && !inHalves && !reduces && splitsFloats(limits.processor);
    const uint32_t directShares = reduces ? 2 : splits ? 3 : 0;
    if (dispatchWinogradRowsGradient(encoder, shape, p, windows, taps, state, directShares) ||
        dispatchWinogradGradient(encoder, shape, p, windows, taps, state, directShares)) {
        if (!p.transposed) BiasGradient(encoder, p.gradient, p.images, windows, state).finish();
        return;
    }
    const bool cpu = isCpu(device);
    const uint64_t pixels = uint64_t(p.gradient.width) * p.gradient.height * p.images;
    const uint64_t tapCount = uint64_t(shape.kernelWidth) * shape.kernelHeight;
    p.kernelWidth = shape.kernelWidth;
    p.kernelHeight = shape.kernelHeight;
    p.outputChannels = rows;
    p.accumulate = state.accumulated;
    std::optional<GroupedTile> grouped;
    if (tile.grouped) grouped = groupedTile(device, p, p.gradient, false, false);
    const bool isWide = inHalves || (!grouped && blocks);
    const auto planFor = [&](bool cooperative, uint32_t shares) {
        return planWeights(
            limits,
            {.rows = rows,
             .columns = 4 * tapCount * vk::divideUp(p.reducedPerGroup, 4),
             .interior = pixels,
             .cooperative = cooperative,
             .shares = shares,
             .tileColumns = cooperative ? 128 : tableOf(limits.processor).widestColumns,
             .interiorStep = cooperative ? 32u : 8u,
             .mostParts = 512,
             .atOnce = cooperative ? 2u : 8u,
             .leftAlong = false,
             .rightAlong = false},
            !p.transposed, windows.binding(1, encoder.limits()).bytes);
    };
    WeightsProduct product{};
    if (isWide) product = planFor(inHalves || reduces, reduces ? 2 : 1);
    if (isWide && splits) {
        const WeightsProduct split = planFor(true, 3);
        if (split.plan.microseconds < product.plan.microseconds) product = split;
    }
    uint64_t columns = 0;
    bool inPlace = false; // there is one part, whose sums go to the weights' gradient at once
    // For a tile of so many channels and texels.
    const auto layOut = [&](uint64_t channels, uint64_t texels, uint64_t lanes, uint32_t step) {
        p.tileChannels = uint32_t(channels);
        p.tiles = uint32_t(vk::divideUp(rows, channels));
        p.tileSlices =
            tileSlices(p.tiles, p.tileChannels, rows, p.resultPerGroup, p.reducedPerGroup);
        columns = tapCount * p.tileSlices + 1;
        uint64_t across = vk::divideUp(columns, texels);
        uint64_t parts =
            isWide ? product.plan.parts : groupsWanted(encoder, 3, 16) / (across * p.tiles);
        if (cpu) parts = std::max(parts, vk::divideUp(pixels, 8192));
        const Split split(pixels, parts, isWide ? 128 : 64, step);
        p.splits = split.parts;
        p.splitPixels = split.pixels;
        inPlace = isWide && p.splits == 1 && !p.transposed && p.reducedPerGroup % 4 == 0;
        p.biasColumn = !p.transposed && !inPlace && !product.biasApart;
        if (!p.biasColumn) across = vk::divideUp(columns - 1, texels);
        Grid grid{across * lanes, 1, uint64_t(p.tiles) * p.splits};
        grid.texels = texelGrid(1, p.gradient.width, p.gradient.height, p.images);
        return grid;
    };
    const auto reduce = [&](const vk::BufferSlice& partials) {
        dispatchReduce(encoder, "CNNConvolutionGradientReduce", p, columns * rows, partials, state);
    };
    if (grouped) {
        layOut(4, 1, 1, 4);
        return reduce(*dispatchGrouped(encoder, p, *grouped, windows, taps, false));
    }
    const bool isDense =
        p.images == 1 ||
        p.gradient.imageStride == p.gradient.width * p.gradient.height * p.gradient.slices;
    const bool wholeChunks = !inHalves || p.source.channels % 8 == 0;
    const auto layOutWide = [&](const ProductTile& wide) {
        return layOut(wide.rows(), wide.columns() / 4, wide.invocations(encoder.limits()),
                      wide.depth);
    };
    const auto dispatchOf = [&](const ProductTile& wide) -> TileDispatch {
        const Grid grid = layOutWide(wide);
        const auto bytes = std::as_bytes(std::span(&p, 1));
        return {inHalves           ? "CNNConvolutionGradientWeightsCooperative"
                : wide.cooperative ? "CNNConvolutionGradientWeightsBfloat16"
                                   : "CNNConvolutionGradientWeightsBlocks",
                grid,
                {bytes.begin(), bytes.end()},
                wide.constants(device,
                               {constant(38, uint32_t(wholeChunks)),
                                constant(46, uint32_t(isDense)), constant(47, uint32_t(inPlace))})};
    };
    TileDispatch dispatch;
    if (isWide) {
        layOutWide(product.plan.tile); // says how much memory a trial needs
        const uint64_t mostRows = vk::roundUp(rows, mostTileRows);
        const Operand operands[] = {
            {1, windows},
            {2, taps},
            {3, vk::BufferSlice{.size = columns * mostRows * p.splits * 16}},
            {4, state.buffer(Buffers::Weights)}};
        dispatch = dispatchOf(pickTile(encoder, product.shape, product.plan, operands, dispatchOf));
    } else {
        dispatch.shader = tile.subgroup ? "CNNConvolutionGradientWeightsSubgroup"
                                        : "CNNConvolutionGradientWeights";
        dispatch.grid =
            layOut(4 * tile.texels, tile.tiled ? 4 * tile.lanes / tile.texels : tile.lanes,
                   tile.lanes, tile.tiled ? 16 : 4);
        const auto bytes = std::as_bytes(std::span(&p, 1));
        dispatch.parameters = {bytes.begin(), bytes.end()};
        dispatch.constants = {constant(32, tile.lanes), constant(33, tile.texels),
                              constant(36, uint32_t(tile.tiled))};
    }
    std::optional<BiasGradient> bias;
    if (!p.transposed && !p.biasColumn) bias.emplace(encoder, p.gradient, p.images, windows, state);
    std::shared_ptr<const vk::BufferSlice> partials;
    if (!inPlace) partials = encoder.scratch(columns * p.tiles * p.tileChannels * p.splits * 16);
    const Operand operands[] = {{1, windows},
                                {2, taps},
                                {3, partials ? *partials : vk::BufferSlice()},
                                {4, state.buffer(Buffers::Weights)}};
    encoder.dispatchBytes(dispatch.shader, dispatch.parameters, dispatch.grid, operands,
                          dispatch.constants, {});
    if (bias) bias->finish();
    if (!inPlace) reduce(*partials);
}

/// dW, and db unless `p.transposed`.
void dispatchDepthwise(Encoder& encoder, const ConvolutionShape& shape,
                       glsl::CNNConvolutionWeightsParameters p, const ImageRun& gradient,
                       const ImageRun& source, CNNConvolutionGradientState::Impl& state) {
    const auto& windows = p.transposed ? p.source : p.gradient;
    const uint64_t pixels = uint64_t(windows.width) * windows.height * p.images;
    p.kernelWidth = shape.kernelWidth;
    p.kernelHeight = shape.kernelHeight;
    p.outputChannels = shape.outputs;
    p.multiplier = shape.outputs / shape.inputs;
    p.accumulate = state.accumulated;
    p.biasColumn = !p.transposed;
    const uint64_t columns =
        (uint64_t(shape.kernelWidth) * shape.kernelHeight + 1) * vk::divideUp(shape.outputs, 4);
    std::optional<GroupedTile> grouped;
    if (GroupedTile::isDiagonal(encoder.device(), p.multiplier))
        grouped = groupedTile(encoder.device(), p, windows,
                              (p.transposed ? gradient : source).storageConstant() == 1, true);
    if (grouped) {
        if (p.transposed) std::swap(p.gradient, p.source);
        p.tiles = uint32_t(vk::divideUp(shape.outputs, 4));
        p.tileSlices = p.tileChannels = 1;
        const auto partials =
            dispatchGrouped(encoder, p, *grouped, p.transposed ? source : gradient,
                            p.transposed ? gradient : source, true);
        return dispatchReduce(encoder, "CNNConvolutionDepthwiseGradientReduce", p, columns,
                              *partials, state);
    }
    const Split split(pixels, groupsWanted(encoder, 16, 8) / vk::divideUp(columns, 64), 16, 1);
    p.splits = split.parts;
    p.splitPixels = split.pixels;
    const auto partials = encoder.scratch(columns * p.splits * 16);
    encoder.dispatch("CNNConvolutionDepthwiseGradientWeights", p, {columns, 1, p.splits},
                     {{1, gradient}, {2, source}, {3, *partials}}, {constant(37, p.transposed)});
    dispatchReduce(encoder, "CNNConvolutionDepthwiseGradientReduce", p, columns, *partials, state);
}

} // namespace

void dispatchWeightsGradient(Encoder& encoder, const ConvolutionShape& shape,
                             glsl::CNNConvolutionWeightsParameters p, const ImageRun& gradient,
                             const ImageRun& source, CNNConvolutionGradientState::Impl& state) {
    if (shape.depthwise)
        dispatchDepthwise(encoder, shape, p, gradient, source, state);
    else
        dispatchWeights(encoder, shape, p, gradient, source, state);
    state.accumulated = true;
}

void dispatchTransposeWeightsGradient(Encoder& encoder, const ConvolutionShape& shape,
                                      glsl::CNNConvolutionWeightsParameters p,
                                      const ImageRun& gradient, const ImageRun& source,
                                      CNNConvolutionGradientState::Impl& state) {
    p.transposed = 1;
    BiasGradient bias(encoder, p.gradient, p.images, gradient, state);
    if (shape.depthwise) {
        dispatchDepthwise(encoder, shape, p, gradient, source, state);
    } else {
        std::swap(p.gradient, p.source);
        dispatchWeights(encoder, shape, p, source, gradient, state);
    }
    bias.finish();
    state.accumulated = true;
}

} // namespace mpsvk::mps
