// How convolutions with images of at most four channels are cut into invocations.
#pragma once

#include "CNNConvolution.h"
#include "vk/Device.hpp"

#include <cstdint>
#include <optional>

namespace mpsvk::mps {

/// Images of so many channels have kernels of their own.
constexpr uint32_t mostThinChannels = 4;

/// Pixels of an invocation of glsl/CNNConvolutionGrouped.comp that reads such images, at most.
constexpr uint32_t thinSourcePixels = 8;

/// Whether the device is one for these kernels.
bool hasThinTiles(const vk::Device& device);

/// Of glsl/CNNConvolutionThinGradientWeights.comp: what an invocation has.
struct ThinGradientTile {
    // What there is to tune.
    static constexpr uint32_t mostPixels = 8;
    static constexpr uint32_t mostRegisters = 176; ///< for sums and operands
    static constexpr uint32_t size = 128;          ///< of a workgroup, at most
    static constexpr uint32_t groupsEach = 3;      ///< workgroups for a multiprocessor
    static constexpr uint32_t sharedBytes = 32768; ///< at most
    static constexpr uint32_t blocksEach = 12;     ///< for an invocation, at least, where there are
    /// A CPU's driver takes long to compile more products than these.
    static constexpr uint32_t cpuProducts = 48;

    uint32_t pixels = 0, rows = 0, taps = 0, span = 0;

    /// None when the taps lie too far apart.
    static std::optional<ThinGradientTile> of(const vk::Device& device,
                                              const glsl::CNNConvolutionWeightsParameters& p);
};

/// Of glsl/CNNConvolutionThin.comp.
struct ThinProductTile {
    // What there is to tune.
    static constexpr uint32_t mostPixels = 16;
    static constexpr uint32_t mostRegisters = 128;
    static constexpr uint32_t size = 128;          ///< of a workgroup, at most
    static constexpr uint32_t sharedBytes = 40960; ///< at most
    static constexpr uint32_t bytesEach = 384;     ///< shared, that keep no invocation away
    static constexpr uint32_t mostSlices = 4;
    static constexpr uint32_t interiorEach = 64; ///< texels, for a workgroup
    static constexpr uint32_t leastResults = 64; ///< pixels of an image
    static constexpr uint32_t cpuPixels = 3;

    uint32_t pixels = 0, span = 0, lead = 0;                             ///< of an invocation
    uint32_t blocks = 0, lines = 0, height = 0, tapRows = 0, slices = 0; ///< of a workgroup

    /// None when the taps lie too far apart, or results are too few.
    static std::optional<ThinProductTile> of(const vk::Device& device,
                                             const glsl::CNNConvolutionParameters& p, bool spread);
};

} // namespace mpsvk::mps
