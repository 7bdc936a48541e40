// When Winograd's products take less time than a convolution's own, and how much of it they do at
// once.
#pragma once

#include "vk/Architecture.hpp"

#include <cstdint>
#include <optional>

namespace mpsvk::mps {

/// A convolution with stride 1 along rows.
struct WinogradShape {
    uint32_t taps = 3;                          ///< of a row
    uint64_t images = 1, width = 1, height = 1; ///< of the results
    uint64_t channels = 1, resultChannels = 1;  ///< that are summed over, and of the results
    uint32_t tapRows = taps;
    uint32_t directShares = 0; ///< bf16 that a direct convolution splits an operand in; 0: none
};

/// Transformed sources and products of a part are in memory at once.
struct WinogradPlan {
    uint64_t images = 1;   ///< of a part
    uint64_t tileRows = 1; ///< of a part: all of an image's, unless one image is too much
};

/// What a part may take. Smaller ones that stay in a cache cost more in waves of workgroups that
/// are not full.
constexpr uint64_t winogradPartBytes = 256 << 20;

WinogradPlan winogradParts(const WinogradShape& shape, uint64_t partBytes = winogradPartBytes);

/// Segments of filtered rows.
uint64_t winogradSegments(const WinogradShape& shape);

/// Filtering of rows: tiles of so many result channels, and workgroups; an infinite time where the
/// device has too few registers, or rounding errors would be too large.
struct WinogradRows {
    uint32_t columns = 64;
    uint64_t groups = 1;
    double microseconds = 0; ///< estimated
};

WinogradRows winogradRows(const vk::Processor& on, const WinogradShape& shape);

/// Its gradient of weights: tiles, and parts of so many segments, whose sums take no more than so
/// many bytes together.
struct WinogradRowsGradient {
    uint32_t tilesDown = 1, tilesAcross = 1;
    uint32_t parts = 1, segments = 1;
    double microseconds = 0; ///< estimated
};

WinogradRowsGradient winogradRowsGradient(const vk::Processor& on, const WinogradShape& shape,
                                          uint64_t mostBytes);
/// Of the sums of a part.
uint64_t winogradRowsPartBytes(const WinogradShape& shape);

/// Estimates in microseconds.
double directTime(const vk::Processor& on, const WinogradShape& shape);
double winogradTime(const vk::Processor& on, const WinogradShape& shape, const WinogradPlan& plan);
double winogradGradientTime(const vk::Processor& on, const WinogradShape& shape,
                            const WinogradPlan& plan);

} // namespace mpsvk::mps
