// Workgroups that walk down the rows of a strip of columns and so read a window's pixels once
// (glsl/windowStream.glsl).
#pragma once

#include "mps/Encoder.hpp"

#include <optional>

namespace mpsvk::mps {

struct WindowStream {
    /// In pixels of the source.
    struct Axis {
        int64_t first; ///< pixel with a result (or a gradient)
        uint64_t results;
        uint64_t taps;          ///< of a window
        uint64_t before, after; ///< how far a result reaches
        int64_t lowest, end;    ///< outside of these there are only zeros
    };
    struct Shape {
        Axis columns, rows;
        uint64_t slices, images;
        uint64_t bytesPerTexel;
        bool centred, gradient;
    };
    /// Nothing where the latest rows do not fit in registers, or the windows are wide for the
    /// columns that a workgroup has.
    static std::optional<WindowStream> of(const vk::Limits& limits, const Shape& shape);
    /// Nothing for a CPU, which has the rows in its caches: `MPSVK_DISABLE=cached_windows` makes it
    /// walk all the same, `streamed_windows` nobody.
    static std::optional<WindowStream> of(const vk::Device& device, const Shape& shape);

    Grid grid(uint64_t images) const {
        return Grid::of(images * segments * strips * blocks * invocations);
    }

    uint32_t invocations, slicesTogether, rowsEach;
    uint32_t blocks, strips, segments;  ///< of an image
    uint32_t stripColumns, segmentRows; ///< of results
    int32_t lowestColumn, lowestRow;    ///< before these there are only zeros
    int32_t endRow;                     ///< and from here on
};

} // namespace mpsvk::mps
