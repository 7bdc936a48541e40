#include "mps/NarrowProduct.hpp"

#include "mps/ConvolutionGradientParts.hpp"
#include "mps/DeviceTable.hpp"
#include "vk/Instance.hpp"

#include <algorithm>
#include <bit>

namespace mpsvk::mps {

using Buffers = MPS::CNNConvolutionGradientState::Impl;

namespace {

constexpr uint64_t mostFew = 16, leastMany = 64; ///< channels
constexpr uint32_t size = 256;                   ///< of a workgroup, at most
/// With more images for a multiprocessor tiles have enough work, and read weights less often.
constexpr uint64_t imagesEach = 16;

/// Whether there are few channels on one side of one tap, and many on the other.
bool isNarrow(Encoder& encoder, const ConvolutionShape& shape, uint64_t few, uint64_t many,
              uint32_t images) {
    const bool isDirect = isCpuWith(encoder.device(), "direct_tile");
    return !isDirect && !vk::isDisabled("narrow_product") && shape.groups == 1 &&
           !shape.depthwise && shape.subPixelScale == 1 && shape.kernelWidth == 1 &&
           shape.kernelHeight == 1 && few <= mostFew && many >= leastMany &&
           images <= groupsFor(encoder.limits(), imagesEach);
}

/// Whether each image has a pixel of the source for a result.
bool hasPixel(const ConvolutionShape& shape, const glsl::ImageView& source, int originX,
              int originY) {
    return source.channels == shape.inputs && originX >= 0 && originX < int(source.width) &&
           originY >= 0 && originY < int(source.height);
}

uint32_t sizeFor(const vk::Limits& limits) {
    return std::bit_floor(std::min(size, limits.workGroupInvocations));
}

} // namespace

bool dispatchNarrowProduct(Encoder& encoder, const ConvolutionWeights& weights,
                           ConvolutionWeights::Layout& layout,
                           const glsl::CNNConvolutionParameters& p, const ImageRun& source,
                           const ImageRun& destination, uint32_t neuron) {
    if (!isNarrow(encoder, layout.shape, layout.shape.outputs, layout.shape.inputs, p.images) ||
        !hasPixel(layout.shape, p.source, p.originX, p.originY) || p.clipWidth != 1 ||
        p.clipHeight != 1 || layout.tiles != 1)
        return false;
    const uint32_t invocations = sizeFor(encoder.limits());
    encoder.dispatch(
        "CNNFullyConnectedNarrow", p, Grid::of(uint64_t(p.images) * invocations),
        {{1, source},
         {2, destination},
         {3, weights.use(encoder, layout, &ConvolutionWeights::Layout::floats)},
         {4, layout.channels}},
        {constant(32, invocations), constant(33, layout.tile.texels), constant(35, neuron)});
    return true;
}

bool dispatchNarrowAdjoint(Encoder& encoder, const ConvolutionWeights& weights,
                           ConvolutionWeights::Layout& layout,
                           const glsl::CNNConvolutionParameters& p, const ImageRun& source,
                           const ImageRun& destination, uint32_t neuron) {
    if (!isNarrow(encoder, layout.shape, p.reducedPerGroup, 4 * p.resultSlices, p.images) ||
        p.source.channels != p.reducedPerGroup || p.source.width != 1 || p.source.height != 1 ||
        p.originX != 0 || p.originY != 0 || p.clampEdges || p.clipWidth != 1 || p.clipHeight != 1)
        return false;
    encoder.dispatch(
        "CNNFullyConnectedNarrowGradientData", p, Grid::over(p.resultSlices, 1, 1, p.images),
        {{1, source},
         {2, destination},
         {3, weights.use(encoder, layout, &ConvolutionWeights::Layout::floats)},
         {4, layout.channels}},
        {constant(33, layout.tile.texels), constant(35, neuron), constant(36, p.tileSlices)});
    return true;
}

bool dispatchNarrowGradient(Encoder& encoder, const ConvolutionShape& shape,
                            glsl::CNNConvolutionWeightsParameters p, const ImageRun& gradient,
                            const ImageRun& source, MPS::CNNConvolutionGradientState::Impl& state) {
    if (p.transposed || !isNarrow(encoder, shape, shape.outputs, shape.inputs, p.images) ||
        !hasPixel(shape, p.source, p.originX, p.originY) || p.gradient.width != 1 ||
        p.gradient.height != 1)
        return false;
    constexpr uint64_t columns = 16;
    p.outputChannels = shape.outputs;
    p.accumulate = state.accumulated;
    const uint32_t invocations = sizeFor(encoder.limits());
    const uint64_t across = vk::divideUp(slicesFor(shape.inputs) + 1, columns);
    encoder.dispatch("CNNFullyConnectedNarrowGradientWeights", p,
                     Grid{across * invocations, slicesFor(shape.outputs), 1},
                     {{1, gradient},
                      {2, source},
                      {3, state.buffer(Buffers::Weights)},
                      {4, state.buffer(Buffers::Biases)}},
                     {constant(32, invocations), constant(33, uint32_t(columns))});
    return true;
}

} // namespace mpsvk::mps
