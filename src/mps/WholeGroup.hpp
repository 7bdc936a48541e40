// A workgroup that keeps all pixels of its groups of channels in registers (glsl/wholeGroup.glsl).
#pragma once

#include "mps/Encoder.hpp"

#include <array>
#include <optional>

namespace mpsvk::mps {

/// Units are the 16 bytes of a texel of fp32 or of two neighbouring ones of fp16.
struct WholeGroup {
    struct Shape {
        uint64_t pixels, slices, groupChannels;
        uint32_t operands;       ///< that are kept
        uint32_t texelsEach = 1; ///< of a unit
    };
    struct Operand {
        const ImageRun& run;
        const glsl::ImageView& view;
    };
    /// Nothing where the groups do not fit, or are so small that the caches keep them anyhow.
    static std::optional<WholeGroup> of(const vk::Limits& limits, const Shape& shape);
    /// Workgroups that share the pixels of a block, so that each reads whole lines of the cache.
    /// They wait for each other's sums: nothing where the device may run them one after the other.
    static std::optional<WholeGroup> shared(const vk::Limits& limits, const Shape& shape);
    /// For operands that are read and written as wholes, `kept` of them being kept. They must lie
    /// in buffers, in units of one kind, without lanes that are no channels. Nothing for a CPU,
    /// which has few registers, and the group in its caches: `MPSVK_DISABLE=cached_groups` makes it
    /// keep groups all the same, `whole_group` nobody.
    static std::optional<WholeGroup> of(Encoder& encoder, std::initializer_list<Operand> operands,
                                        uint32_t kept, uint64_t groupChannels);

    Grid grid(uint64_t images) const {
        Grid made = Grid::of(images * blocks * members * invocations);
        made.texelsEach = texelsEach;
        return made;
    }

    /// The memory through which members bring their sums together: empty where there is one.
    struct Meeting {
        std::shared_ptr<const vk::BufferSlice> scratch;
        vk::BufferSlice sums, arrived;
    };
    Meeting meeting(Encoder& encoder, uint64_t images) const;

    /// Of a gradient for so many images: the workgroups that begin one after the other, where a
    /// multiprocessor has one at a time and there are enough to make up for the wait.
    std::array<vk::Constant, 2> stagger(const vk::Processor& processor, uint64_t images) const;

    uint32_t invocations, blockUnits, kept; ///< of a workgroup, of a pixel, pixels of an invocation
    uint32_t blocks;                        ///< of an image
    uint32_t texelsEach;
    uint32_t members = 1; ///< workgroups that share the pixels of a block
};

} // namespace mpsvk::mps
