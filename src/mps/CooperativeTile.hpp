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

    /// The one that is done first with `products` results of rows x columns elements each; its
    /// depth divides `interiorStep`, a multiple of 32.
    static CooperativeTile forProduct(uint64_t rows, uint64_t columns, uint64_t interiorStep,
                                      uint64_t products);
    /// The same for a convolution whose weights are packed in tiles of `columns` channels: 16, 64
    /// or 128.
    static CooperativeTile forConvolution(uint64_t rows, uint32_t columns, uint64_t interiorStep,
                                          uint64_t products);
    /// For the gradient of weights of so many output channels.
    static CooperativeTile forWeights(uint64_t channels);

    uint32_t rows() const { return 16 * blocksDown * subgroupsDown; }
    uint32_t columns() const { return 16 * blocksAcross * subgroupsAcross; }
    uint32_t invocations(const vk::Device& device) const;
    /// The constants of the tile, and others.
    std::vector<vk::Constant> constants(const vk::Device& device,
                                        std::initializer_list<vk::Constant> others = {}) const;
};

} // namespace mpsvk::mps
