#include "mps/WinogradGradient.hpp"

#include "mps/DeviceTable.hpp"
#include "mps/WinogradMatrices.hpp"
#include "vk/Instance.hpp"

#include <algorithm>

namespace mpsvk::mps {

namespace {

using glsl::winogradResults;

/// Of five taps it would take as long as the plain product.
constexpr uint32_t size = 3;

} // namespace

bool isWinogradGradient(const ConvolutionShape& shape,
                        const glsl::CNNConvolutionWeightsParameters& p, const ImageRun& windows,
                        const ImageRun& taps) {
    return shape.kernelWidth == size && shape.kernelHeight == size &&
           hasWinograd(size, shape.inputs, shape.outputs) && p.strideY == 1 && p.dilationY == 1 &&
           isUnstrided(shape, p) && winogradReads(windows) && winogradReads(taps);
}

bool dispatchWinogradGradient(Encoder& encoder, const ConvolutionShape& shape,
                              const glsl::CNNConvolutionWeightsParameters& p,
                              const ImageRun& windows, const ImageRun& taps,
                              MPS::CNNConvolutionGradientState::Impl& state,
                              uint32_t directShares) {
    if (!isWinogradGradient(shape, p, windows, taps)) return false;
    const WinogradShape convolution{.images = p.images,
                                    .width = p.gradient.width,
                                    .height = p.gradient.height,
                                    .channels = p.source.channels,
                                    .resultChannels = p.gradient.channels,
                                    .directShares = directShares};
    const auto plan = winogradPlan(encoder.limits(), convolution);
    const vk::Processor on = tileLimits(encoder.device()).processor;
    if (!winogradIsFaster(encoder.device(), winogradGradientTime(on, convolution, plan),
                          directTime(on, convolution)))
        return false;
    const uint64_t gradientTexels = vk::divideUp(p.gradient.channels, 4),
                   sourceTexels = vk::divideUp(p.source.channels, 4);
    const uint64_t across = vk::divideUp(p.gradient.width, winogradResults),
                   down = vk::divideUp(p.gradient.height, winogradResults);
    const auto interior = [&](uint64_t images, uint64_t rows) {
        return vk::roundUp(images * rows * across, 16);
    };
    const uint64_t most = interior(plan.images, plan.tileRows);
    const uint64_t range = encoder.limits().storageBufferRange;
    if (winogradBytes(size, most, 4 * std::max(gradientTexels, sourceTexels)) > range ||
        winogradBytes(size, 4 * gradientTexels, 4 * sourceTexels) > range)
        return false;
    const auto gradients = encoder.scratch(winogradBytes(size, most, 4 * gradientTexels)),
               sources = encoder.scratch(winogradBytes(size, most, 4 * sourceTexels)),
               sums = encoder.scratch(winogradBytes(size, 4 * gradientTexels, 4 * sourceTexels));

    for (uint64_t image = 0; image < p.images; image += plan.images)
        for (uint64_t row = 0; row < down; row += plan.tileRows) {
            const uint64_t images = std::min(plan.images, p.images - image),
                           rows = std::min(plan.tileRows, down - row);
            const uint64_t tiles = interior(images, rows);
            const auto transform = [&](const char* shader, const glsl::ImageView& view, int originX,
                                       int originY, const ImageRun& from,
                                       const vk::BufferSlice& to) {
                glsl::CNNConvolutionWinogradParameters part{};
                part.source = imagesFrom(view, image);
                part.originX = originX;
                part.originY = originY + int(winogradResults * row);
                part.tiles = uint32_t(tiles);
                part.rowTexels = uint32_t(vk::divideUp(view.channels, 4));
                part.positionTexels = part.tiles * part.rowTexels;
                encoder.dispatch(shader, part, winogradGrid(part, across, rows, images, 1),
                                 {{1, from}, {2, to}},
                                 {constant(42, uint32_t(view.channels % 4 == 0))});
            };
            transform("CNNConvolutionWinogradGradient", p.gradient, 0, 0, windows, *gradients);
            transform("CNNConvolutionWinogradSource", p.source, p.originX, p.originY, taps,
                      *sources);
            encodeProduct(encoder,
                          {.left = winogradMatrices(*gradients, tiles, 4 * gradientTexels),
                           .right = winogradMatrices(*sources, tiles, 4 * sourceTexels),
                           .result = winogradMatrices(*sums, 4 * gradientTexels, 4 * sourceTexels),
                           .transposeLeft = true,
                           .interior = tiles,
                           .beta = image + row == 0 ? 0.0 : 1.0,
                           .matrices = glsl::winogradPositions(size),
                           .exact = true});
        }
    glsl::CNNConvolutionWinogradGradientParameters last{};
    last.resultChannels = p.gradient.channels;
    last.channels = p.source.channels;
    last.rowTexels = uint32_t(sourceTexels);
    last.positionTexels = uint32_t(4 * gradientTexels * sourceTexels);
    last.accumulate = state.accumulated;
    last.transposed = p.transposed;
    encoder.dispatch(
        "CNNConvolutionWinogradGradientWeights", last,
        Grid::of(uint64_t(last.resultChannels) * last.rowTexels),
        {{1, *sums}, {2, state.buffer(MPS::CNNConvolutionGradientState::Impl::Weights)}});
    return true;
}

} // namespace mpsvk::mps
