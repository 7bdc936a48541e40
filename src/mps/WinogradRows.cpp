#include "mps/WinogradRows.hpp"

#include "CNNConvolutionWinograd.h"
#include "mps/DeviceTable.hpp"
#include "mps/WinogradMatrices.hpp"
#include "mps/WinogradProduct.hpp"
#include "vk/Instance.hpp"

#include <algorithm>

namespace mpsvk::mps {

namespace {

/// Of the shader's workgroups: invocations, and what they share.
constexpr uint64_t invocations = 128;
constexpr uint32_t sharedBytes = 18688;

bool isWinogradRows(const vk::Limits& limits, const ConvolutionWeights::Layout& layout,
                    const glsl::CNNConvolutionParameters& p, const ImageRun& source,
                    const ImageRun& destination, bool spread) {
    const auto& weights = layout.parameters;
    return hasWinogradRows(p.kernelWidth, reducedChannels(weights), 4 * resultTexels(weights)) &&
           isUnstrided(layout, p) && (!spread || p.strideY == 1) && p.source.channels % 4 == 0 &&
           isFloatBuffer(source) && isFloatBuffer(destination) &&
           limits.sharedMemoryBytes >= sharedBytes &&
           winogradRowsBytes(weights) <= limits.storageBufferRange;
}

} // namespace

uint64_t winogradRowsBytes(const glsl::CNNConvolutionPackParameters& p) {
    return uint64_t(p.kernelHeight) * glsl::winogradRowChannels(reducedChannels(p)) *
           glsl::winogradRowSpan * glsl::winogradRowTexels(resultTexels(p)) * 16;
}

void packWinogradRows(Encoder& encoder, const glsl::CNNConvolutionPackParameters& p,
                      const vk::BufferSlice& weights, const vk::BufferSlice& scale,
                      const vk::BufferSlice& packed) {
    const uint64_t weightsOfTap = uint64_t(glsl::winogradRowChannels(reducedChannels(p))) * 4 *
                                  glsl::winogradRowTexels(resultTexels(p));
    encoder.dispatch("CNNConvolutionWinogradRowsWeights", p,
                     Grid::of(weightsOfTap * p.kernelHeight),
                     {{1, weights}, {2, packed}, {3, scale}}, {winogradConstant(p.kernelWidth)});
}

bool dispatchWinogradRows(Encoder& encoder, const ConvolutionWeights& weights,
                          ConvolutionWeights::Layout& layout,
                          const glsl::CNNConvolutionParameters& p, const ImageRun& source,
                          const ImageRun& destination, uint32_t neuron, bool spread,
                          uint32_t directShares) {
    const vk::Limits limits = tileLimits(encoder.device());
    if (!isWinogradRows(limits, layout, p, source, destination, spread)) return false;
    const WinogradShape shape{.taps = p.kernelWidth,
                              .images = p.images,
                              .width = p.clipWidth,
                              .height = p.clipHeight,
                              .channels = reducedChannels(layout.parameters),
                              .resultChannels = 4 * resultTexels(layout.parameters),
                              .tapRows = p.kernelHeight,
                              .directShares = directShares};
    const auto& on = limits.processor;
    const WinogradRows rows = winogradRows(on, shape);
    double otherwise = directTime(on, shape);
    if (isWinogradTiles(limits, layout, p, source, destination))
        otherwise = std::min(otherwise, winogradTime(on, shape, winogradPlan(limits, shape)));
    if (!winogradIsFaster(encoder.device(), rows.microseconds, otherwise)) return false;

    glsl::CNNConvolutionParameters turned = p;
    if (spread) {
        turned.originX = turnedOrigin(p.originX, p.kernelWidth, 1);
        turned.originY = turnedOrigin(p.originY, p.kernelHeight, p.dilationY);
    }
    const uint64_t most = std::max<uint64_t>(1, encoder.limits().workGroupCount),
                   y = vk::divideUp(rows.groups, most);
    Grid grid{vk::divideUp(rows.groups, y) * invocations, y};
    grid.wholeTexels = p.destination.channels % 4 == 0;
    encoder.dispatch("CNNConvolutionWinogradRows", turned, grid,
                     {{1, source},
                      {2, destination},
                      {3, weights.use(encoder, layout, &ConvolutionWeights::Layout::winogradRows)},
                      {4, layout.channels}},
                     {winogradConstant(p.kernelWidth), constant(33, layout.tile.texels),
                      constant(35, neuron), constant(40, rows.columns)});
    return true;
}

} // namespace mpsvk::mps
