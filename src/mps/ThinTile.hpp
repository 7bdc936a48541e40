// How convolutions of images with at most four channels are cut into invocations: see
// glsl/CNNConvolutionThinGradientWeights.comp.
#pragma once

#include "vk/Device.hpp"
#include "vk/Instance.hpp"

#include <algorithm>
#include <cstdint>
#include <optional>

namespace mpsvk::mps {

/// What an invocation of the gradient of weights has.
struct ThinGradientTile {
    // What there is to tune.
    static constexpr uint32_t mostChannels = 4;
    static constexpr uint32_t mostPixels = 8;
    static constexpr uint32_t mostRegisters = 176; ///< for sums and operands
    static constexpr uint32_t size = 128;          ///< of a workgroup
    static constexpr uint32_t groups = 396;        ///< workgroups
    /// A CPU's driver takes long to compile more products than these.
    static constexpr uint32_t cpuProducts = 48;

    uint32_t pixels = 0, rows = 0, taps = 0, span = 0;

    /// Whether a convolution goes through this kernel.
    static bool isChosen(const vk::Device& device, uint64_t convolutionGroups, uint64_t channels) {
        const bool direct = device.properties().deviceType == VK_PHYSICAL_DEVICE_TYPE_CPU &&
                            !vk::isDisabled("direct_tile");
        return convolutionGroups == 1 && channels <= mostChannels && !direct &&
               !vk::isDisabled("thin_tile") && !vk::isDisabled("shared_tile");
    }

    /// For windows on `width` pixels of a row; none when their taps lie too far apart.
    static std::optional<ThinGradientTile> of(const vk::Device& device, uint64_t width,
                                              uint32_t channels, uint32_t kernelWidth,
                                              uint32_t kernelHeight, int stride, int dilation) {
        const bool cpu = device.properties().deviceType == VK_PHYSICAL_DEVICE_TYPE_CPU;
        const auto times = [](uint64_t a, uint64_t b) { return (a + b - 1) / b; };
        std::optional<ThinGradientTile> best;
        uint64_t bestCost = UINT64_MAX;
        for (uint32_t pixels = 1; pixels <= mostPixels; ++pixels)
            for (uint32_t rows = 1; rows <= kernelHeight; ++rows)
                for (uint32_t taps = 1; taps <= kernelWidth; ++taps) {
                    const uint64_t span =
                        1 + uint64_t(pixels - 1) * uint32_t(stride) + (taps - 1) * dilation;
                    const uint64_t products = uint64_t(pixels) * rows * taps * channels;
                    const uint64_t registers =
                        4ull * (rows * taps * channels + 1 + pixels) + rows * span * channels;
                    if (registers > mostRegisters || (cpu && products > cpuProducts)) break;
                    // In products of one channel: a texel takes as long to load as 16, a single
                    // channel as 8, and a block some more to find.
                    const uint64_t work =
                        4 * products + 16 * pixels + rows * span * (channels == 1 ? 8 : 16) + 48;
                    const uint64_t cost = work * times(width, pixels) * times(kernelHeight, rows) *
                                          times(kernelWidth, taps);
                    if (cost >= bestCost) continue;
                    bestCost = cost;
                    best = ThinGradientTile{pixels, rows, taps, uint32_t(span)};
                }
        return best;
    }
};

} // namespace mpsvk::mps
