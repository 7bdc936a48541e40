// Which of the tiles that give the same sums a product takes: the one with the best estimate whose
// registers do not spill, or with MPSVK_AUTOTUNE=1 the fastest of a few.
#pragma once

#include "mps/Encoder.hpp"
#include "mps/ProductTile.hpp"

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

namespace mpsvk::mps {

/// A dispatch of a tile, in all that depends on the tile.
struct TileDispatch {
    std::string shader;
    Grid grid;
    std::vector<std::byte> parameters;
    std::vector<vk::Constant> constants;
};

/// Tiles that are measured, at most, and what that may take.
constexpr size_t mostTrials = 5;
constexpr double trialSeconds = 2;

/// One of tilesFor(plan), so that neither spills nor measurements change a result. `operands` stand
/// for what the dispatch binds, which is not touched: memory of the same size takes its place. One
/// of them without a buffer says how much it is to be.
ProductTile pickTile(Encoder& encoder, const ProductShape& shape, const ProductPlan& plan,
                     std::span<const Operand> operands,
                     const std::function<TileDispatch(const ProductTile&)>& dispatch);

/// The first of them that do not spill, so many at most; where all do, the first one.
std::vector<ProductTile> withoutSpills(std::span<const ProductTile> tiles, size_t most,
                                       const std::function<bool(const ProductTile&)>& spills);

/// Shapes of a class share what was measured for one of them.
std::string shapeClass(const std::string& shader, const ProductShape& shape,
                       const ProductPlan& plan);

/// Under which it is remembered.
std::string nameOf(const ProductTile& tile);

/// The fastest of `count`, by the least of some times, of which each one's first does not count: it
/// takes the caches' misses. The first of all unless another is faster by more than their noise, or
/// when there is no time for one of each.
size_t fastest(size_t count, double budgetSeconds, const std::function<double(size_t)>& time);

} // namespace mpsvk::mps
