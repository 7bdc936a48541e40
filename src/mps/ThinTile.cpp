#include "mps/ThinTile.hpp"

#include "mps/DeviceTable.hpp"
#include "vk/Instance.hpp"

#include <algorithm>
#include <bit>
#include <numeric>

namespace mpsvk::mps {

namespace {

// Costs are in multiplications of an invocation; beside these a texel takes as long to load from
// memory or to share as four of its products with four channels.
constexpr uint64_t texelCost = 16;

} // namespace

bool hasThinTiles(const vk::Device& device) {
    return !isCpuWith(device, "direct_tile") && !vk::isDisabled("thin_tile") &&
           !vk::isDisabled("shared_tile");
}

std::optional<ThinGradientTile>
ThinGradientTile::of(const vk::Device& device, const glsl::CNNConvolutionWeightsParameters& p) {
    const uint32_t channels = p.reducedPerGroup;
    std::optional<ThinGradientTile> best;
    uint64_t bestCost = UINT64_MAX;
    const uint32_t most = std::min(mostPixels, p.gradient.width);
    for (uint32_t pixels = 1; pixels <= most; ++pixels)
        for (uint32_t rows = 1; rows <= p.kernelHeight; ++rows)
            for (uint32_t taps = 1; taps <= p.kernelWidth; ++taps) {
                const uint64_t span = 1 + uint64_t(pixels - 1) * uint32_t(p.strideX) +
                                      uint64_t(taps - 1) * uint32_t(p.dilationX);
                const uint64_t products = uint64_t(pixels) * rows * taps * channels;
                const uint64_t registers =
                    4ull * (uint64_t(rows) * taps * channels + 1 + pixels) + rows * span * channels;
                if (registers > mostRegisters || (isCpu(device) && products > cpuProducts)) break;
                // A block takes some more to find.
                const uint64_t work = 4 * products + texelCost * pixels +
                                      rows * span * (channels == 1 ? texelCost / 2 : texelCost) +
                                      3 * texelCost;
                const uint64_t cost = work * vk::divideUp(p.gradient.width, pixels) *
                                      vk::divideUp(p.kernelHeight, rows) *
                                      vk::divideUp(p.kernelWidth, taps);
                if (cost >= bestCost) continue;
                bestCost = cost;
                best = ThinGradientTile{pixels, rows, taps, uint32_t(span)};
            }
    return best;
}

std::optional<ThinProductTile> ThinProductTile::of(const vk::Device& device,
                                                   const glsl::CNNConvolutionParameters& p,
                                                   bool spread) {
    if (uint64_t(p.clipWidth) * p.clipHeight < leastResults) return {};
    const auto stride = uint32_t(p.strideX), strideY = uint32_t(p.strideY),
               dilation = uint32_t(p.dilationX), dilationY = uint32_t(p.dilationY);
    const uint32_t channels = p.destination.channels, taps = p.kernelWidth;
    const uint32_t between = spread ? strideY / std::gcd(strideY, dilationY) : 1;
    ThinProductTile tile;
    tile.tapRows = uint32_t(vk::divideUp(p.kernelHeight, between));
    const uint64_t lineStep = spread ? 1 : strideY,
                   rowStep = spread ? uint64_t(dilationY) * between / strideY : dilationY;
    if (spread) {
        tile.lead = dilation * (taps - 1);
        tile.lead += uint32_t(glsl::floorModulo(-(p.originX + int(tile.lead)), p.strideX));
    }
    const uint64_t resultLines = spread ? vk::divideUp(p.clipHeight, strideY) : p.clipHeight;
    const uint32_t most = isCpu(device) ? std::max(cpuPixels, spread ? stride : 1) : mostPixels;
    const uint64_t mostBytes = std::min(sharedBytes, device.limits().sharedMemoryBytes);
    const uint32_t mostLanes =
        std::min(isCpu(device) ? 32 : size, device.limits().workGroupInvocations);
    // First the pixels of an invocation, then the invocations of a workgroup.
    uint64_t work = UINT64_MAX;
    for (uint32_t pixels = most; pixels > 0; --pixels) {
        if (spread && pixels % stride != 0) continue;
        const uint64_t span = 1 + (spread ? (pixels - 1 + tile.lead) / stride
                                          : (pixels - 1) * stride + dilation * (taps - 1));
        if (4 * (span + channels) + channels * pixels > mostRegisters) continue;
        const uint64_t products =
            4ull * channels * pixels * vk::divideUp(taps, spread ? stride : 1);
        const uint64_t cost = (products + texelCost * (span + taps * channels)) * tile.tapRows *
                              vk::divideUp(p.clipWidth, pixels);
        if (cost >= work) continue;
        work = cost;
        tile.pixels = pixels;
        tile.span = uint32_t(span);
    }
    if (tile.pixels == 0) return {};
    const uint64_t across = vk::divideUp(p.clipWidth, tile.pixels);
    work /= across;
    const uint64_t step = spread ? tile.pixels / stride : tile.pixels * stride;
    std::optional<ThinProductTile> best;
    uint64_t bestCost = UINT64_MAX;
    for (tile.lines = 4; tile.lines <= 32; tile.lines *= 2)
        for (tile.blocks = 1; tile.blocks <= std::min<uint64_t>(across, mostLanes / tile.lines);
             ++tile.blocks)
            for (tile.slices = std::bit_floor(std::min(mostSlices, p.tileSlices)); tile.slices > 0;
                 tile.slices /= 2) {
                const uint64_t height =
                    (tile.lines - 1) * lineStep + (tile.tapRows - 1) * rowStep + 1;
                const uint64_t width = (tile.blocks - 1) * step + tile.span;
                const uint64_t weights = uint64_t(tile.tapRows) * taps * channels;
                const uint64_t lanes = vk::divideUp(tile.blocks * tile.lines, 32) * 32;
                const uint64_t bytes = 16 * tile.slices * (height * (width | 1) + weights);
                if (bytes > mostBytes) continue;
                // Memory moves more than single texels at a time, and workgroups wait.
                const uint64_t loads =
                    height * width * (2 * texelCost + 4 * texelCost / tile.slices);
                const uint64_t cost = (lanes * (work + 256 / tile.slices) + loads) *
                                      vk::divideUp(across, tile.blocks) *
                                      vk::divideUp(resultLines, tile.lines) *
                                      std::max<uint64_t>(bytesEach, bytes / lanes);
                if (cost >= bestCost) continue;
                bestCost = cost;
                best = tile;
                best->height = uint32_t(height);
            }
    return best;
}

} // namespace mpsvk::mps
