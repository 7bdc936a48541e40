#include "mps/WinogradProduct.hpp"

#include "CNNConvolutionWinograd.h"
#include "mps/DeviceTable.hpp"
#include "mps/WinogradMatrices.hpp"
#include "vk/Instance.hpp"

#include <algorithm>

namespace mpsvk::mps {

using glsl::winogradResults;

bool isWinogradTiles(const vk::Limits& limits, const ConvolutionWeights::Layout& layout,
                     const glsl::CNNConvolutionParameters& p, const ImageRun& source,
                     const ImageRun& destination) {
    const auto& weights = layout.parameters;
    return p.kernelWidth == p.kernelHeight &&
           hasWinograd(p.kernelWidth, reducedChannels(weights), 4 * resultTexels(weights)) &&
           p.strideY == 1 && p.dilationY == 1 && isUnstrided(layout, p) && winogradReads(source) &&
           winogradReads(destination) && winogradBytes(weights) <= limits.storageBufferRange;
}

uint64_t winogradBytes(const glsl::CNNConvolutionPackParameters& p) {
    return winogradBytes(p.kernelWidth, glsl::winogradRows(reducedChannels(p)),
                         4 * resultTexels(p));
}

void packWinograd(Encoder& encoder, const glsl::CNNConvolutionPackParameters& p,
                  const vk::BufferSlice& weights, const vk::BufferSlice& scale,
                  const vk::BufferSlice& packed) {
    // Blocks of 8 by 16 channels.
    const uint64_t blocks =
        glsl::winogradRows(reducedChannels(p)) / 8 * vk::divideUp(resultTexels(p), 4);
    encoder.dispatch("CNNConvolutionWinogradWeights", p, Grid::of(128 * blocks),
                     {{1, weights}, {2, packed}, {3, scale}}, {winogradConstant(p.kernelWidth)});
}

bool dispatchWinograd(Encoder& encoder, const ConvolutionWeights& weights,
                      ConvolutionWeights::Layout& layout, const glsl::CNNConvolutionParameters& p,
                      const ImageRun& source, const ImageRun& destination, uint32_t neuron,
                      bool spread, uint32_t directShares) {
    if (!isWinogradTiles(encoder.limits(), layout, p, source, destination)) return false;
    const uint64_t channels = reducedChannels(layout.parameters);
    const uint64_t texels = resultTexels(layout.parameters);
    const uint32_t taps = p.kernelWidth;
    const WinogradShape shape{.taps = taps,
                              .images = p.images,
                              .width = p.clipWidth,
                              .height = p.clipHeight,
                              .channels = channels,
                              .resultChannels = 4 * texels,
                              .directShares = directShares};
    const auto plan = winogradPlan(encoder.limits(), shape);
    const vk::Processor on = tileLimits(encoder.device()).processor;
    if (!winogradIsFaster(encoder.device(), winogradTime(on, shape, plan), directTime(on, shape)))
        return false;

    const uint64_t rowChannels = glsl::winogradRows(uint32_t(channels));
    const uint64_t across = vk::divideUp(p.clipWidth, winogradResults),
                   down = vk::divideUp(p.clipHeight, winogradResults);
    // Whole blocks of four tiles.
    const uint64_t most = vk::roundUp(plan.images * plan.tileRows * across, 4);
    if (winogradBytes(taps, most, std::max(rowChannels, 4 * texels)) >
        encoder.limits().storageBufferRange)
        return false;
    const auto& packed = weights.use(encoder, layout, &ConvolutionWeights::Layout::winograd);
    const auto sources = encoder.scratch(winogradBytes(taps, most, rowChannels)),
               results = encoder.scratch(winogradBytes(taps, most, 4 * texels));

    glsl::CNNConvolutionWinogradParameters part{};
    part.clipX = p.clipX;
    part.clipWidth = p.clipWidth;
    const auto origin = [&](int of) { return spread ? turnedOrigin(of, taps, 1) : of; };
    part.originX = origin(p.originX);
    part.slopes = layout.tiles * layout.tile.texels;
    part.hasBias = p.hasBias;
    part.neuronA = p.neuronA;
    part.neuronB = p.neuronB;
    part.neuronC = p.neuronC;
    for (uint64_t image = 0; image < p.images; image += plan.images)
        for (uint64_t row = 0; row < down; row += plan.tileRows) {
            const uint64_t images = std::min(plan.images, p.images - image),
                           rows = std::min(plan.tileRows, down - row);
            const uint64_t tiles = vk::roundUp(images * rows * across, 4);
            const auto first = uint32_t(winogradResults * row);
            part.source = imagesFrom(p.source, image);
            part.destination = imagesFrom(p.destination, image);
            part.originY = origin(p.originY) + int(first);
            part.clipY = p.clipY + first;
            part.clipHeight = p.clipHeight - first;
            part.tiles = uint32_t(tiles);
            part.rowTexels = uint32_t(rowChannels / 4);
            part.positionTexels = uint32_t(tiles * part.rowTexels);
            encoder.dispatch(
                "CNNConvolutionWinogradSource", part,
                winogradGrid(part, across, rows, images, glsl::winogradShares(taps)),
                {{1, source}, {2, *sources}},
                {winogradConstant(taps), constant(42, uint32_t(p.source.channels % 4 == 0))});
            encodeProduct(encoder, {.left = winogradMatrices(*sources, tiles, rowChannels),
                                    .right = winogradMatrices(packed, rowChannels, 4 * texels),
                                    .result = winogradMatrices(*results, tiles, 4 * texels),
                                    .interior = rowChannels,
                                    .matrices = glsl::winogradPositions(taps),
                                    .exact = true});
            part.rowTexels = uint32_t(texels);
            part.positionTexels = uint32_t(tiles * texels);
            encoder.dispatch("CNNConvolutionWinogradResult", part,
                             Grid::over(texels, across, rows, images),
                             {{1, *results}, {2, destination}, {3, layout.channels}},
                             {constant(35, neuron), winogradConstant(taps)});
        }
    return true;
}

} // namespace mpsvk::mps
