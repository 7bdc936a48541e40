#include "mps/ThinGradient.hpp"

#include "mps/ConvolutionGradientParts.hpp"
#include "mps/ThinTile.hpp"

#include <algorithm>

namespace mpsvk::mps {

using MPS::CNNConvolutionGradientState;

bool dispatchThinGradient(Encoder& encoder, const ConvolutionShape& shape,
                          glsl::CNNConvolutionWeightsParameters p, const ImageRun& windows,
                          const ImageRun& taps, bool inHalves,
                          CNNConvolutionGradientState::Impl& state) {
    auto& device = encoder.device();
    const uint32_t channels = p.transposed ? shape.outputs : shape.inputs;
    if (!hasThinTiles(device) || shape.groups != 1 || channels > mostThinChannels ||
        (channels > 1 && inHalves))
        return false;
    p.kernelWidth = shape.kernelWidth;
    p.kernelHeight = shape.kernelHeight;
    p.outputChannels = p.transposed ? shape.inputs : shape.outputs;
    p.reducedPerGroup = channels;
    p.biasColumn = !p.transposed;
    const auto tile = ThinGradientTile::of(device, p);
    if (!tile) return false;
    p.accumulate = state.accumulated;
    p.tiles = uint32_t(vk::divideUp(p.outputChannels, 4));
    const uint64_t across = vk::divideUp(p.gradient.width, tile->pixels),
                   blocks = across * p.gradient.height * p.images;
    const uint64_t columns = p.tiles * vk::divideUp(p.kernelWidth, tile->taps) *
                             vk::divideUp(p.kernelHeight, tile->rows);
    const uint32_t most = std::min(ThinGradientTile::size, encoder.limits().workGroupInvocations);
    const auto lanes = uint32_t(vk::divideUp(columns, vk::divideUp(columns, most)));
    // Half of the turns hand over their sums through shared memory.
    const uint64_t handedOver = 16ull * lanes * (tile->rows * tile->taps * channels + 1);
    const uint32_t bytes =
        std::min(ThinGradientTile::sharedBytes, encoder.limits().sharedMemoryBytes) - 16;
    const auto turns = uint32_t(std::min<uint64_t>(most / lanes, bytes / handedOver * 2 + 1));
    const uint64_t groups = vk::divideUp(columns, lanes);
    const uint64_t wanted = groupsWanted(encoder, ThinGradientTile::groupsEach, 8);
    const Split split(blocks, vk::divideUp(wanted, groups), ThinGradientTile::blocksEach * turns,
                      turns);
    p.splits = split.parts;
    p.splitPixels = split.pixels;
    const uint64_t weights = uint64_t(p.kernelWidth) * p.kernelHeight * channels;
    const auto partials = encoder.scratch((weights + 1) * p.tiles * p.splits * 16);
    Grid grid{groups * lanes * turns, 1, p.splits};
    grid.texels = texelGrid(1, across, p.gradient.height, p.images);
    encoder.dispatch(
        "CNNConvolutionThinGradientWeights", p, grid, {{1, windows}, {2, taps}, {3, *partials}},
        {constant(32, lanes * turns), constant(33, tile->pixels), constant(34, tile->taps),
         constant(35, tile->rows), constant(36, uint32_t(p.strideX)), constant(37, channels),
         constant(38, uint32_t(p.dilationX)), constant(39, lanes), constant(41, tile->span),
         constant(42, 1u)});
    dispatchReduce(encoder, "CNNConvolutionThinGradientReduce", p, (weights + 1) * p.tiles,
                   *partials, state);
    return true;
}

} // namespace mpsvk::mps
