// How products by cooperative matrices are cut into workgroups: see glsl/cooperative.glsl.
#pragma once

#include "vk/Pipeline.hpp"

#include <initializer_list>
#include <vector>

namespace mpsvk::mps {

struct CooperativeTile {
    uint32_t subgroupsDown = 2, subgroupsAcross = 2;
    uint32_t blocksDown = 4, blocksAcross = 4; ///< of 16x16 elements, of a subgroup
    uint32_t depth = 32;                       ///< of the interior in a step

    /// For the gradient of weights of so many output channels.
    static CooperativeTile forWeights(uint64_t channels);

    uint32_t rows() const { return 16 * blocksDown * subgroupsDown; }
    uint32_t columns() const { return 16 * blocksAcross * subgroupsAcross; }
    uint32_t invocations(const vk::Device& device) const;
    /// The constants of the tile, and others.
    std::vector<vk::Constant> constants(const vk::Device& device,
                                        std::initializer_list<vk::Constant> others = {}) const;
};

/// A product: its tile, and the parts that its interior is split into.
struct CooperativePlan {
    CooperativeTile tile;
    uint32_t parts = 1;
};
struct CooperativeShape {
    uint64_t rows, columns, interior;
    uint64_t products = 1;      ///< of this shape, at once
    uint64_t tileColumns = 128; ///< that the tile must have: 16, 32, 64 or 128
    uint64_t interiorStep = 64; ///< a multiple of the tile's depth; 32 or a multiple of it
    bool maySplit = true;
};
/// The plan that is done first.
CooperativePlan planProduct(const CooperativeShape& shape);

} // namespace mpsvk::mps
