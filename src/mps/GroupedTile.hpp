// How convolutions whose groups have few channels are cut into invocations: see
// glsl/CNNConvolutionGrouped.comp and glsl/CNNConvolutionGroupedGradientWeights.comp.
#pragma once

#include "geometry.h"
#include "mps/DeviceTable.hpp"
#include "vk/Instance.hpp"

#include <cstdint>
#include <optional>

namespace mpsvk::mps {

struct GroupedTile {
    // What there is to tune.
    static constexpr uint32_t mostChannels = 15;      ///< of a group
    static constexpr uint32_t mostPixels = 8;         ///< of an invocation
    static constexpr uint32_t productSize = 128;      ///< of a workgroup
    static constexpr uint32_t gradientTaps = 3;       ///< of a row, of an invocation; also rows of
                                                      ///< them where it goes down an image
    static constexpr uint32_t mostHalfWindows = 4;    ///< of a row in fp16, where it does so
    static constexpr uint32_t gradientSize = 256;     ///< at most
    static constexpr uint32_t gradientGroupsEach = 2; ///< workgroups for a multiprocessor
    static constexpr uint32_t mostSpan = 32;          ///< what may be loaded for a row of taps
    /// A CPU's driver takes long to compile what is unrolled over more pixels.
    static constexpr uint32_t cpuPixels = 3;

    uint32_t pixels = 0, span = 0, lead = 0;

    /// Whether a depthwise convolution, of so many outputs for an input, goes through these
    /// kernels.
    static bool isDiagonal(const vk::Device& device, uint64_t multiplier) {
        const bool direct = isCpuWith(device, "direct_tile");
        return multiplier == 1 && !direct && !vk::isDisabled("grouped_tile");
    }

    /// For rows of `width` results; none when their taps lie too far apart. `spread`: the adjoint.
    static std::optional<GroupedTile> of(const vk::Device& device, uint64_t width, uint32_t most,
                                         int taps, int stride, int dilation, int origin,
                                         bool spread) {
        if (isCpu(device)) most = cpuPixels;
        std::optional<GroupedTile> best;
        uint64_t bestCost = UINT64_MAX;
        int lead = 0;
        if (spread) {
            lead = dilation * (taps - 1);
            lead += glsl::floorModulo(-(origin + lead), stride);
        }
        for (uint32_t pixels = most; pixels > 0; --pixels) {
            if (spread && pixels % uint32_t(stride) != 0) continue;
            const int last = int(pixels) - 1;
            const auto span = uint32_t(
                1 + (spread ? (last + lead) / stride : last * stride + dilation * (taps - 1)));
            // What a block costs besides its pixels is about two pixels' work.
            const uint64_t cost = vk::divideUp(width, pixels) * (pixels + 2);
            if (span > mostSpan || cost >= bestCost) continue;
            best = GroupedTile{pixels, span, uint32_t(lead)};
            bestCost = cost;
        }
        return best;
    }
};

} // namespace mpsvk::mps
