#include "mps/WinogradRowsGradient.hpp"

#include "CNNConvolutionWinograd.h"
#include "mps/ConvolutionGradientParts.hpp"
#include "mps/DeviceTable.hpp"
#include "mps/WinogradGradient.hpp"
#include "mps/WinogradMatrices.hpp"

#include <algorithm>

namespace mpsvk::mps {

namespace {

/// Of the shader's workgroups: invocations, and what they share.
constexpr uint32_t invocations = 256, sharedBytes = 32768;

bool isRowsGradient(const vk::Limits& limits, const ConvolutionShape& shape,
                    const glsl::CNNConvolutionWeightsParameters& p, const ImageRun& windows,
                    const ImageRun& taps) {
    return hasWinogradRows(shape.kernelWidth, p.source.channels, p.gradient.channels) &&
           isUnstrided(shape, p) && isFloatBuffer(windows) && isFloatBuffer(taps) &&
           limits.workGroupInvocations >= invocations && limits.sharedMemoryBytes >= sharedBytes;
}

} // namespace

bool dispatchWinogradRowsGradient(Encoder& encoder, const ConvolutionShape& shape,
                                  glsl::CNNConvolutionWeightsParameters p, const ImageRun& windows,
                                  const ImageRun& taps,
                                  MPS::CNNConvolutionGradientState::Impl& state,
                                  uint32_t directShares) {
    const vk::Limits limits = tileLimits(encoder.device());
    if (!isRowsGradient(limits, shape, p, windows, taps)) return false;
    const WinogradShape convolution{.taps = shape.kernelWidth,
                                    .images = p.images,
                                    .width = p.gradient.width,
                                    .height = p.gradient.height,
                                    .channels = p.source.channels,
                                    .resultChannels = p.gradient.channels,
                                    .tapRows = shape.kernelHeight,
                                    .directShares = directShares};
    const auto plan =
        winogradRowsGradient(limits.processor, convolution, limits.storageBufferRange);
    double otherwise = directTime(limits.processor, convolution);
    if (isWinogradGradient(shape, p, windows, taps))
        otherwise = std::min(otherwise, winogradGradientTime(limits.processor, convolution,
                                                             winogradPlan(limits, convolution)));
    if (!winogradIsFaster(encoder.device(), plan.microseconds, otherwise)) return false;

    p.kernelWidth = shape.kernelWidth;
    p.kernelHeight = shape.kernelHeight;
    p.outputChannels = p.gradient.channels;
    p.tiles = plan.tilesDown;
    p.tileChannels = glsl::winogradRowSide;
    p.tileSlices = uint32_t(vk::divideUp(p.source.channels, 4));
    p.splits = plan.parts;
    p.splitPixels = plan.segments;
    p.accumulate = state.accumulated;
    p.biasColumn = 0;
    const uint64_t columns = uint64_t(p.kernelWidth) * p.kernelHeight * p.tileSlices + 1;
    const auto partials = encoder.scratch(winogradRowsPartBytes(convolution) * p.splits);
    Grid grid{uint64_t(plan.tilesAcross) * invocations, plan.tilesDown, plan.parts};
    grid.texels =
        texelGrid(1, vk::divideUp(p.gradient.width, glsl::winogradRowResults(shape.kernelWidth)),
                  p.gradient.height, p.images);
    encoder.dispatch("CNNConvolutionWinogradRowsGradientWeights", p, grid,
                     {{1, windows}, {2, taps}, {3, *partials}},
                     {winogradConstant(shape.kernelWidth)});
    dispatchReduce(encoder, "CNNConvolutionGradientReduce", p, columns * p.outputChannels,
                   *partials, state);
    return true;
}

} // namespace mpsvk::mps
