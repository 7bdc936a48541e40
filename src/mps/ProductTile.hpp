// How products through shared memory are cut into workgroups: by cooperative matrices
// (glsl/cooperative.glsl), or in registers (glsl/blocks.glsl).
#pragma once

#include "vk/Device.hpp"
#include "vk/Pipeline.hpp"

#include <initializer_list>
#include <vector>

namespace mpsvk::mps {

struct ProductTile {
    bool cooperative = true;       ///< what a subgroup has is made of 16x16 elements; else what an
                                   ///< invocation has, of 4x4
    uint32_t down = 2, across = 2; ///< subgroups or invocations
    uint32_t blocksDown = 4, blocksAcross = 4; ///< of such elements
    uint32_t depth = 32;                       ///< of the interior in a step
    /// Of what an element of a cooperative matrix is the sum: 1: a half; 2, 3: so many bf16, for
    /// operands in fp32.
    uint32_t shares = 1;
    uint32_t deep = 1; ///< times as many subgroups, which share a step's depth and add up theirs

    uint32_t rows() const { return side() * blocksDown * down; }
    uint32_t columns() const { return side() * blocksAcross * across; }
    uint32_t side() const { return cooperative ? 16 : 4; }
    uint32_t invocations(const vk::Limits& limits) const;
    /// What a workgroup has of shared memory, at most; less where the right operand never lies
    /// along the interior.
    uint64_t sharedBytes(bool rightAlong = true) const;
    /// The constants of the tile, and others.
    std::vector<vk::Constant> constants(const vk::Device& device,
                                        std::initializer_list<vk::Constant> others = {}) const;
    friend bool operator==(const ProductTile&, const ProductTile&) = default;
};

/// No tile has more rows.
constexpr uint64_t mostTileRows = 256;

/// A product: its tile, and the parts that its interior is split into.
struct ProductPlan {
    ProductTile tile;
    uint32_t parts = 1;
    double microseconds = 0; ///< estimated
};
struct ProductShape {
    uint64_t rows, columns, interior;
    bool cooperative = true;    ///< the tile
    uint32_t shares = 1;        ///< of the tile
    uint64_t products = 1;      ///< of this shape, at once
    uint64_t tileColumns = 128; ///< that the tile must have: 16, 32, 64 or 128
    uint64_t interiorStep = 64; ///< a multiple of the tile's depth; 32 or a multiple of it
    uint64_t mostParts = 32;    ///< of the interior
    uint64_t atOnce = 8;        ///< workgroups that may share a multiprocessor
    bool leftAlong = true;      ///< the left operand lies along the interior, and not across it
    bool rightAlong = true;     ///< the right operand may lie along the interior
    bool mayBeDeep = true;      ///< the tile
    uint64_t parts = 0;         ///< that the interior must have, for sums that are the same to the
                                ///< bit whatever the rows; 0: what is fastest
};
/// Whether there is a tile for it. The smaller ones in registers fit wherever Vulkan does.
bool hasTile(const vk::Limits& limits, const ProductShape& shape);
/// The plan that is done first. It depends on nothing but the device's limits and the shape, and
/// fits them.
ProductPlan planProduct(const vk::Limits& limits, const ProductShape& shape);
/// The plan's tile and then the others, by their estimates, that give the same sums to the bit: an
/// element's products are added in the order of the interior whatever the tile, and the parts that
/// are added up begin at multiples of its depth.
std::vector<ProductTile> tilesFor(const vk::Limits& limits, const ProductShape& shape,
                                  const ProductPlan& plan);

} // namespace mpsvk::mps
