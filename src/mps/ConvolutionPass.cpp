#include "mps/ConvolutionPass.hpp"

#include "mps/CNNNeuron.hpp"
#include "mps/DeviceTable.hpp"
#include "mps/GroupedTile.hpp"
#include "mps/NarrowProduct.hpp"
#include "mps/ProductTile.hpp"
#include "mps/ThinProduct.hpp"
#include "mps/ThinTile.hpp"
#include "mps/TileTrial.hpp"
#include "mps/WinogradProduct.hpp"
#include "mps/WinogradRows.hpp"
#include "vk/Instance.hpp"

#include <algorithm>

namespace mpsvk::mps {

using MPS::CNNConvolutionDescriptor;
using MPS::KernelWindow;

KernelWindow windowOf(const CNNConvolutionDescriptor& d) {
    return {d.kernelWidth(),     d.kernelHeight(),  d.strideInPixelsX(),
            d.strideInPixelsY(), d.dilationRateX(), d.dilationRateY()};
}

bool hasWholeTexels(const CNNConvolutionDescriptor& d) { return d.inputFeatureChannels() % 4 == 0; }

glsl::CNNConvolutionParameters commonParameters(const ConvolutionWeights::Layout& layout,
                                                const KernelWindow& w) {
    glsl::CNNConvolutionParameters p{};
    p.kernelWidth = layout.shape.kernelWidth;
    p.kernelHeight = layout.shape.kernelHeight;
    p.strideX = int(w.strideX);
    p.strideY = int(w.strideY);
    p.dilationX = int(w.dilationX);
    p.dilationY = int(w.dilationY);
    p.resultSlices = layout.resultSlices;
    p.tiles = layout.tiles;
    p.tileSlices = layout.tileSlices;
    p.resultPerGroup = layout.resultPerGroup;
    p.reducedPerGroup = layout.reducedPerGroup;
    p.multiplier = layout.shape.depthwise ? layout.shape.outputs / layout.shape.inputs : 1;
    p.subPixelScale = 1;
    return p;
}

glsl::ImageView flatView(const ImageRun& run, uint64_t channels) {
    glsl::ImageView v = run.view(0, channels);
    v.slices = v.slices * v.width * v.height;
    v.width = v.height = 1;
    return v;
}

bool canBeFlat(const ImageRun& run, uint64_t channelOffset, uint64_t channels) {
    return !run.isTexture() && channelOffset == 0 && run.featureChannels() == channels &&
           run.isDense();
}

void setClip(glsl::CNNConvolutionParameters& p, const Clip& clip) {
    p.clipX = uint32_t(clip.x);
    p.clipY = uint32_t(clip.y);
    p.clipWidth = uint32_t(clip.width);
    p.clipHeight = uint32_t(clip.height);
}

uint32_t setFused(glsl::CNNConvolutionParameters& p, const CNNConvolutionDescriptor& d,
                  const ConvolutionWeights& weights) {
    const auto& neuron = d.fusedNeuronDescriptor();
    p.hasBias = weights.hasBias();
    p.neuronA = neuron.a();
    p.neuronB = neuron.b();
    p.neuronC = neuron.c();
    return uint32_t(neuron.neuronType());
}

int transposeOrigin(int64_t offset, uint64_t stride, int64_t kernelOffset, uint64_t taps,
                    uint64_t dilation) {
    return glsl::transposeOrigin(int(offset), int(stride), int(kernelOffset),
                                 glsl::dilatedExtent(int(taps), int(dilation)));
}

namespace {

/// What both kinds of tiles need.
bool hasTiles(const glsl::CNNConvolutionParameters& p, const ImageRun& source,
              const ImageRun& destination) {
    // Positions are kept in 16 bits.
    const uint32_t farthest =
        std::max({p.source.width, p.source.height, p.destination.width, p.destination.height,
                  p.kernelWidth * p.dilationX, p.kernelHeight * p.dilationY});
    return !p.clampEdges && p.subPixelScale == 1 && !source.isTexture() &&
           !destination.isTexture() && farthest < 0x4000;
}

/// Whether the product can go through cooperative matrices: see glsl/gemmTiles.glsl.
bool isCooperative(const ConvolutionWeights& weights, const ConvolutionWeights::Layout& layout,
                   const glsl::CNNConvolutionParameters& p, const ImageRun& source,
                   const ImageRun& destination) {
    const bool isSource = layout.mergesTaps
                              ? source.storageConstant() == 1
                              : source.hasPairs(p.source) && p.source.channels % 8 == 0;
    return layout.halves && !weights.keepsFloat32() && isSource && hasTiles(p, source, destination);
}

/// Whether it can go through the tiles in registers.
bool hasBlocks(const ConvolutionWeights::Layout& layout, const glsl::CNNConvolutionParameters& p,
               const ImageRun& source, const ImageRun& destination) {
    return layout.tile.tiled && layout.tile.texels >= 4 && hasTiles(p, source, destination) &&
           !vk::isDisabled("blocks");
}

/// The tiles of glsl/gemmTiles.glsl.
enum class Tiles { None, Halves, Bfloat16, Floats };

Tiles tilesOf(Encoder& encoder, const ConvolutionWeights& weights,
              const ConvolutionWeights::Layout& layout, const glsl::CNNConvolutionParameters& p,
              const ImageRun& source, const ImageRun& destination) {
    if (isCooperative(weights, layout, p, source, destination)) return Tiles::Halves;
    if (!hasBlocks(layout, p, source, destination)) return Tiles::None;
    const ProductShape reduced{.shares = 2,
                               .tileColumns = 4 * layout.tile.texels,
                               .interiorStep = vk::roundUp(4 * p.tileSlices, 16),
                               .rightAlong = false};
    return encoder.reducesPrecision() && hasTile(tileLimits(encoder.device()), reduced)
               ? Tiles::Bfloat16
               : Tiles::Floats;
}

/// Of how many bf16 an operand of fp32 may be the sum in such tiles; 0 where it goes through none.
uint32_t sharesOf(const vk::Limits& limits, Tiles tiles) {
    if (tiles == Tiles::Bfloat16) return 2;
    return tiles == Tiles::Floats && splitsFloats(limits.processor) ? 3 : 0;
}

/// A product gathers, as a convolution does, or spreads, as its data gradient does.
std::string shaderOf(bool spread) {
    return spread ? "CNNConvolutionGradientData" : "CNNConvolution";
}

/// The strides of a product that spreads, where they are common: divisions by constants take no
/// time. Each pair of them is a variant.
std::vector<vk::Constant> strideConstants(bool spread, const glsl::CNNConvolutionParameters& p) {
    constexpr int most = 4;
    if (!spread || p.strideX > most || p.strideY > most) return {};
    return {constant(49, uint32_t(p.strideX)), constant(50, uint32_t(p.strideY))};
}

/// So many workgroups for each multiprocessor are enough work.
constexpr uint64_t enoughGroupsEach = 4;

/// `own` are those of one of the bodies of glsl/gemm.glsl.
std::vector<vk::Constant> constantsOf(const ConvolutionWeights::Layout& layout,
                                      const glsl::CNNConvolutionParameters& p, uint32_t neuron,
                                      std::vector<vk::Constant> own) {
    own.insert(own.end(), {constant(33, layout.tile.texels), constant(35, neuron),
                           constant(37, p.clampEdges), constant(48, uint32_t(p.parts > 1))});
    return own;
}

uint64_t partialBytes(const ConvolutionWeights::Layout& layout,
                      const glsl::CNNConvolutionParameters& p, uint64_t rows) {
    return p.parts > 1 ? rows * layout.resultSlices * p.parts * 4 * sizeof(float) : 0;
}

/// One of the bodies of glsl/gemm.glsl and, if there are several parts, their sum.
void dispatchParts(Encoder& encoder, bool spread, const char* body,
                   const ConvolutionWeights::Layout& layout,
                   const glsl::CNNConvolutionParameters& p, uint64_t rows, const Grid& grid,
                   const ImageRun& source, const ImageRun& destination,
                   const vk::BufferSlice& weights, uint32_t neuron, std::vector<vk::Constant> own) {
    std::shared_ptr<const vk::BufferSlice> partials;
    if (p.parts > 1) partials = encoder.scratch(partialBytes(layout, p, rows));
    const Operand operands[] = {{1, source},
                                {2, destination},
                                {3, weights},
                                {4, layout.channels},
                                {5, partials ? *partials : vk::BufferSlice()}};
    const auto bytes = std::as_bytes(std::span(&p, 1));
    encoder.dispatchBytes(shaderOf(spread) + body, bytes, grid, operands,
                          constantsOf(layout, p, neuron, std::move(own)), {});
    if (p.parts == 1) return;
    Grid ofParts = Grid::of(rows * layout.resultSlices);
    ofParts.wholeTexels = p.destination.channels % 4 == 0;
    encoder.dispatchBytes(shaderOf(spread) + "Parts", bytes, ofParts, operands,
                          constantsOf(layout, p, neuron, strideConstants(spread, p)), {});
}

/// The product through tiles of glsl/gemmTiles.glsl.
void dispatchTiles(Encoder& encoder, bool spread, Tiles tiles, const ConvolutionWeights& weights,
                   ConvolutionWeights::Layout& layout, glsl::CNNConvolutionParameters p,
                   uint64_t rows, uint32_t phases, const ImageRun& source,
                   const ImageRun& destination, uint32_t neuron) {
    using Layout = ConvolutionWeights::Layout;
    const bool inHalves = tiles == Tiles::Halves;
    if (inHalves) p.tileSlices = layout.halfSlices;
    const bool mergesTaps = inHalves && layout.mergesTaps;
    const uint64_t taps = mergesTaps ? p.kernelHeight : p.kernelWidth * p.kernelHeight;
    const auto shapeFor = [&](bool cooperative, uint32_t shares) {
        ProductShape made{.rows = rows,
                          .columns = uint64_t(layout.tiles) * 4 * layout.tile.texels,
                          .interior = 4 * p.tileSlices * taps / phases,
                          .cooperative = cooperative,
                          .shares = shares,
                          .products = phases,
                          .tileColumns = 4 * layout.tile.texels,
                          .interiorStep = cooperative ? vk::roundUp(4 * p.tileSlices, 16) : 8,
                          .rightAlong = false,
                          .mayBeDeep = !vk::isDisabled("deep_tiles")};
        if (phases > 1) made.mostParts = 1;
        return made;
    };
    const vk::Limits limits = tileLimits(encoder.device());
    const uint32_t shares = sharesOf(limits, tiles);
    ProductShape shape = shapeFor(tiles != Tiles::Floats, shares == 2 ? 2 : 1);
    ProductPlan plan = planProduct(limits, shape);
    if (shares == 3) {
        const ProductShape split = shapeFor(true, shares);
        const ProductPlan other = hasTile(limits, split) ? planProduct(limits, split) : plan;
        if (other.microseconds < plan.microseconds) {
            shape = split;
            plan = other;
            tiles = Tiles::Bfloat16;
        }
    }
    const uint64_t steps = taps * vk::divideUp(4 * p.tileSlices, plan.tile.depth);
    p.partSteps = uint32_t(vk::divideUp(steps, plan.parts));
    p.parts = uint32_t(vk::divideUp(steps, p.partSteps));
    const auto gridOf = [&](const ProductTile& tile) {
        const uint64_t blocks = vk::divideUp(rows, tile.rows());
        const uint64_t most = std::max(1u, encoder.limits().workGroupCount / layout.tiles),
                       y = vk::divideUp(blocks, most);
        Grid grid{vk::divideUp(blocks, y) * layout.tiles * tile.invocations(encoder.limits()), y,
                  uint64_t(phases) * p.parts};
        grid.wholeTexels = (p.source.channels | p.destination.channels) % 4 == 0;
        return grid;
    };
    const bool hasPairs = destination.hasPairs(p.destination);
    const bool storesSums = inHalves && p.parts == 1 && hasPairs &&
                            p.destination.channels % 8 == 0 && !p.hasBias &&
                            neuron == uint32_t(MPS::CNNNeuronType::None);
    const auto constantsFor = [&](const ProductTile& tile) {
        auto all = tile.constants(encoder.device(), {constant(39, uint32_t(hasPairs)),
                                                     constant(47, uint32_t(mergesTaps)),
                                                     constant(51, uint32_t(storesSums))});
        std::ranges::copy(strideConstants(spread, p), std::back_inserter(all));
        return all;
    };
    const char* body = inHalves ? "Cooperative" : tiles == Tiles::Bfloat16 ? "Bfloat16" : "Blocks";
    const auto& packed = weights.use(encoder, layout, inHalves ? &Layout::halves : &Layout::floats);
    const Operand operands[] = {{1, source},
                                {2, destination},
                                {3, packed},
                                {4, layout.channels},
                                {5, vk::BufferSlice{.size = partialBytes(layout, p, rows)}}};
    const ProductTile tile =
        pickTile(encoder, shape, plan, operands, [&](const ProductTile& one) -> TileDispatch {
            const auto bytes = std::as_bytes(std::span(&p, 1));
            return {shaderOf(spread) + body,
                    gridOf(one),
                    {bytes.begin(), bytes.end()},
                    constantsOf(layout, p, neuron, constantsFor(one))};
        });
    dispatchParts(encoder, spread, body, layout, p, rows, gridOf(tile), source, destination, packed,
                  neuron, constantsFor(tile));
}

void dispatchProduct(Encoder& encoder, bool spread, const ConvolutionWeights& weights,
                     ConvolutionWeights::Layout& layout, glsl::CNNConvolutionParameters p,
                     uint64_t rows, uint32_t phases, const ImageRun& source,
                     const ImageRun& destination, uint32_t neuron) {
    const Tiles tiles = tilesOf(encoder, weights, layout, p, source, destination);
    if (tiles != Tiles::None)
        return dispatchTiles(encoder, spread, tiles, weights, layout, p, rows, phases, source,
                             destination, neuron);
    const auto& tile = layout.tile;
    const uint64_t blocks = vk::divideUp(rows, tile.block(rows));
    const uint64_t most = encoder.limits().workGroupCount, y = vk::divideUp(blocks, most);
    // Steps of four texels. Parts give the device more workgroups where these are few.
    const uint64_t steps = vk::divideUp(uint64_t(p.kernelWidth) * p.kernelHeight * p.tileSlices, 4);
    const uint64_t groups = blocks * layout.tiles * phases,
                   enoughGroups = groupsFor(encoder.limits(), enoughGroupsEach);
    p.parts = 1;
    if (tile.tiled && phases == 1 && groups < enoughGroups)
        p.parts = uint32_t(std::clamp<uint64_t>(steps / 8, 1, enoughGroups / groups));
    p.partSteps = uint32_t(vk::divideUp(steps, p.parts));
    p.parts = uint32_t(vk::divideUp(steps, p.partSteps));
    dispatchParts(
        encoder, spread, tile.subgroup ? "Subgroup" : "", layout, p, rows,
        {vk::divideUp(blocks, y) * tile.lanes, y, uint64_t(layout.tiles) * phases * p.parts},
        source, destination, weights.use(encoder, layout, &ConvolutionWeights::Layout::floats),
        neuron,
        {constant(32, tile.lanes), constant(34, tile.pixels(rows)),
         constant(36, uint32_t(tile.tiled))});
}

/// The product of groups with few channels, or of a source with few; false where its kernel does
/// not do it.
bool dispatchGrouped(Encoder& encoder, const ConvolutionWeights& weights,
                     ConvolutionWeights::Layout& layout, const glsl::CNNConvolutionParameters& p,
                     const ImageRun& source, const ImageRun& destination, uint32_t neuron,
                     bool spread) {
    const bool diagonal = layout.shape.depthwise && p.subPixelScale == 1 &&
                          GroupedTile::isDiagonal(encoder.device(), p.multiplier);
    if ((!layout.grouped && !diagonal) || (spread && p.clampEdges)) return false;
    if (layout.thin && p.reducedPerGroup > 1 &&
        isCooperative(weights, layout, p, source, destination))
        return false;
    const uint32_t most = layout.thin ? thinSourcePixels : GroupedTile::mostPixels;
    const auto tile = GroupedTile::of(encoder.device(), p.clipWidth, most, int(p.kernelWidth),
                                      p.strideX, p.dilationX, p.originX, spread);
    if (!tile) return false;
    // Rows of one column of blocks are neighbours.
    const uint64_t blocks = vk::divideUp(p.clipWidth, tile->pixels);
    Grid grid = Grid::over(layout.resultSlices, p.clipHeight, blocks, p.images);
    grid.wholeTexels = (p.source.channels | p.destination.channels) % 4 == 0;
    encoder.dispatch(
        "CNNConvolutionGrouped", p, grid,
        {{1, source},
         {2, destination},
         {3, weights.use(encoder, layout,
                         diagonal ? &ConvolutionWeights::Layout::floats
                                  : &ConvolutionWeights::Layout::grouped)},
         {4, layout.channels}},
        {constant(32, std::min(GroupedTile::productSize, encoder.limits().workGroupInvocations)),
         constant(33, tile->pixels), constant(34, p.kernelWidth), constant(35, neuron),
         constant(36, uint32_t(p.strideX)), constant(37, uint32_t(spread)),
         constant(38, uint32_t(p.dilationX)), constant(39, uint32_t(p.strideY)),
         constant(40, tile->lead), constant(41, tile->span),
         constant(42, uint32_t(layout.thin || p.source.channels % 4 == 0)),
         constant(43, uint32_t(diagonal)), constant(44, layout.thin ? p.reducedPerGroup : 4),
         constant(45, layout.tile.texels)});
    return true;
}

/// The product by Winograd's filtering; false where it would take longer, or is none for it.
bool dispatchFiltered(Encoder& encoder, const ConvolutionWeights& weights,
                      ConvolutionWeights::Layout& layout, const glsl::CNNConvolutionParameters& p,
                      const ImageRun& source, const ImageRun& destination, uint32_t neuron,
                      bool spread) {
    const Tiles tiles = tilesOf(encoder, weights, layout, p, source, destination);
    const uint32_t shares = sharesOf(tileLimits(encoder.device()), tiles);
    return dispatchWinogradRows(encoder, weights, layout, p, source, destination, neuron, spread,
                                shares) ||
           dispatchWinograd(encoder, weights, layout, p, source, destination, neuron, spread,
                            shares);
}

// One invocation per texel of the result. A depthwise kernel is packed per output channel: what
// reads input channels and what reads output channels are two shaders, and either can do either
// geometry.
void dispatchDepthwise(Encoder& encoder, const ConvolutionWeights& weights,
                       ConvolutionWeights::Layout& layout, const glsl::CNNConvolutionParameters& p,
                       const ImageRun& source, const ImageRun& destination, uint32_t neuron,
                       bool spread) {
    const Grid grid =
        Grid::of(uint64_t(p.clipWidth) * p.clipHeight * layout.resultSlices * p.images);
    const auto& packed = weights.use(encoder, layout, &ConvolutionWeights::Layout::floats);
    if (layout.parameters.transposed)
        encoder.dispatch("CNNConvolutionDepthwiseGradientData", p, grid,
                         {{1, source}, {2, destination}, {3, packed}},
                         {constant(37, uint32_t(!spread))});
    else
        encoder.dispatch("CNNConvolutionDepthwise", p, grid,
                         {{1, source}, {2, destination}, {3, packed}, {4, layout.channels}},
                         {constant(35, neuron), constant(37, uint32_t(spread))});
}

} // namespace

void dispatchGather(Encoder& encoder, const ConvolutionWeights& weights,
                    ConvolutionWeights::Layout& layout, const glsl::CNNConvolutionParameters& p,
                    const ImageRun& source, const ImageRun& destination, uint32_t neuron) {
    if (dispatchNarrowProduct(encoder, weights, layout, p, source, destination, neuron) ||
        dispatchThinProduct(encoder, weights, layout, p, source, destination, neuron, false) ||
        dispatchGrouped(encoder, weights, layout, p, source, destination, neuron, false) ||
        dispatchFiltered(encoder, weights, layout, p, source, destination, neuron, false))
        return;
    if (layout.shape.depthwise)
        return dispatchDepthwise(encoder, weights, layout, p, source, destination, neuron, false);
    const auto windows = [&](uint64_t size) { return vk::divideUp(size, p.subPixelScale); };
    dispatchProduct(encoder, false, weights, layout, p,
                    windows(p.clipWidth) * windows(p.clipHeight) * p.images, 1, source, destination,
                    neuron);
}

void dispatchSpread(Encoder& encoder, const ConvolutionWeights& weights,
                    ConvolutionWeights::Layout& layout, const glsl::CNNConvolutionParameters& p,
                    const ImageRun& source, const ImageRun& destination, uint32_t neuron) {
    if (dispatchNarrowAdjoint(encoder, weights, layout, p, source, destination, neuron) ||
        dispatchThinProduct(encoder, weights, layout, p, source, destination, neuron, true) ||
        dispatchGrouped(encoder, weights, layout, p, source, destination, neuron, true) ||
        dispatchFiltered(encoder, weights, layout, p, source, destination, neuron, true))
        return;
    if (layout.shape.depthwise)
        return dispatchDepthwise(encoder, weights, layout, p, source, destination, neuron, true);
    const auto phase = [&](uint64_t size, int stride) {
        return p.clampEdges ? size : vk::divideUp(size, uint64_t(stride));
    };
    dispatchProduct(encoder, true, weights, layout, p,
                    phase(p.clipWidth, p.strideX) * phase(p.clipHeight, p.strideY) * p.images,
                    p.clampEdges ? 1 : uint32_t(p.strideX * p.strideY), source, destination,
                    neuron);
}

} // namespace mpsvk::mps
