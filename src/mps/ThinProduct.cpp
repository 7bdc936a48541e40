#include "mps/ThinProduct.hpp"

#include "mps/ThinTile.hpp"

namespace mpsvk::mps {

bool dispatchThinProduct(Encoder& encoder, const ConvolutionWeights& weights,
                         ConvolutionWeights::Layout& layout,
                         const glsl::CNNConvolutionParameters& p, const ImageRun& source,
                         const ImageRun& destination, uint32_t neuron, bool spread) {
    if (!hasThinTiles(encoder.device()) || layout.shape.groups != 1 || layout.shape.flat ||
        layout.shape.depthwise || p.destination.channels > mostThinChannels ||
        p.subPixelScale != 1 || (spread && p.clampEdges))
        return false;
    const auto tile = ThinProductTile::of(encoder.device(), p, spread);
    if (!tile) return false;
    const uint32_t phases = spread ? uint32_t(p.strideY) : 1;
    Grid grid =
        Grid::over(vk::divideUp(p.clipWidth, uint64_t(tile->blocks) * tile->pixels),
                   vk::divideUp(vk::divideUp(p.clipHeight, phases), tile->lines), phases, p.images);
    // Few workgroups would take long over many products: others split these.
    const uint64_t interior = uint64_t(p.kernelWidth) * p.kernelHeight * p.tileSlices;
    if (interior > ThinProductTile::interiorEach * grid.x) return false;
    const uint32_t size = tile->blocks * tile->lines;
    grid.x *= size;
    encoder.dispatch("CNNConvolutionThin", p, grid,
                     {{1, source},
                      {2, destination},
                      {3, weights.use(encoder, layout, &ConvolutionWeights::Layout::floats)},
                      {4, layout.channels}},
                     {constant(32, size), constant(33, tile->pixels), constant(34, p.kernelWidth),
                      constant(35, neuron), constant(36, uint32_t(p.strideX)),
                      constant(37, uint32_t(spread)), constant(38, uint32_t(p.dilationX)),
                      constant(39, uint32_t(p.strideY)), constant(40, tile->lead),
                      constant(41, tile->span), constant(42, uint32_t(p.source.channels % 4 == 0)),
                      constant(43, p.destination.channels), constant(44, tile->lines),
                      constant(45, tile->height), constant(46, tile->tapRows),
                      constant(47, layout.tile.texels), constant(48, tile->slices)});
    return true;
}

} // namespace mpsvk::mps
