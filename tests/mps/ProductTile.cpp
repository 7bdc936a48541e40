#include "mps/ProductTile.hpp"

#include <catch2/catch_test_macros.hpp>

using namespace mpsvk::mps;

namespace {

/// Of glsl/cooperative.glsl and glsl/blocks.glsl, with the pixels of gemmTiles.glsl.
uint64_t sharedBytes(const ProductTile& tile) {
    const uint64_t pixels = 4 * tile.rows();
    if (!tile.cooperative)
        return 2 * 16 * tile.depth * (tile.rows() / 4 + 1 + tile.columns() / 4 + 1) + pixels;
    const uint64_t along = tile.rows() * (tile.depth / 8 + 1);
    const uint64_t operands =
        16 * (tile.bfloat16 ? 2 : 1) * (along + tile.depth * (tile.columns() / 8 + 1));
    const uint64_t strips = 16 * 16 * tile.down * tile.across * (4 * tile.blocksAcross + 1);
    return std::max(operands, strips) + pixels;
}

void checkPlan(const ProductShape& shape) {
    INFO(shape.rows << " rows, tiles of " << shape.tileColumns << " columns, interior "
                    << shape.interior << " in steps of " << shape.interiorStep
                    << (shape.cooperative ? ", cooperative" : "")
                    << (shape.bfloat16 ? ", bf16" : ""));
    const auto [tile, parts] = planProduct(shape);
    CHECK(tile.cooperative == shape.cooperative);
    CHECK(tile.bfloat16 == shape.bfloat16);
    CHECK(tile.columns() == shape.tileColumns);
    CHECK(shape.interiorStep % tile.depth == 0);
    // With subgroups of 32 each invocation loads whole chunks of both operands.
    const uint64_t lanes = (tile.cooperative ? 32 : 1) * tile.down * tile.across;
    const uint64_t chunk = tile.cooperative && !tile.bfloat16 ? 8 : 4;
    CHECK(lanes <= (tile.cooperative ? 256 : 128));
    CHECK(tile.rows() * tile.depth / chunk % lanes == 0);
    CHECK(tile.columns() * tile.depth / chunk % lanes == 0);
    CHECK(lanes % (tile.columns() / chunk) == 0); // those across the interior are of one column
    CHECK(sharedBytes(tile) <= (tile.cooperative ? 48 : 32) * 1024);
    CHECK(parts >= 1);
    CHECK((parts == 1 || (parts <= shape.mostParts && parts * 8 <= (shape.interior + 31) / 32)));
}

} // namespace

TEST_CASE("a plan of a product fits its shape and the least device") {
    for (const bool cooperative : {true, false})
        for (const uint64_t columns : {16, 32, 64, 128})
            for (const uint64_t step : {8, 32, 64, 96}) {
                if (cooperative ? step == 8 : columns == 16) continue;
                for (const uint64_t rows : {1, 100, 3136, 50176, 1000000})
                    for (const uint64_t steps : {1, 9, 36, 200})
                        for (const uint64_t mostParts : {1, 8, 512})
                            checkPlan({.rows = rows,
                                       .columns = 2 * columns,
                                       .interior = steps * step,
                                       .cooperative = cooperative,
                                       .tileColumns = columns,
                                       .interiorStep = step,
                                       .mostParts = mostParts});
            }
}

TEST_CASE("a plan of a product of bf16 fits its shape and the least device") {
    for (const uint64_t columns : {32, 64, 128})
        for (const uint64_t step : {16, 32, 48, 64})
            for (const uint64_t rows : {1, 100, 3136, 50176, 1000000})
                for (const uint64_t mostParts : {1, 8, 512})
                    checkPlan({.rows = rows,
                               .columns = 2 * columns,
                               .interior = 36 * step,
                               .bfloat16 = true,
                               .tileColumns = columns,
                               .interiorStep = step,
                               .mostParts = mostParts});
}

TEST_CASE("a plan fills the device") {
    // Two waves of the largest tiles rather than three of others.
    CHECK(planProduct({.rows = 50176, .columns = 128, .interior = 1152}).tile.rows() == 192);
    // Many workgroups: two of 128 x 128 on a multiprocessor.
    CHECK(planProduct({.rows = 4096, .columns = 4096, .interior = 4096}).tile.rows() == 128);
    // Few rows and a long interior: in parts.
    CHECK(planProduct({.rows = 128, .columns = 1024, .interior = 4096}).parts > 1);
    CHECK(planProduct({.rows = 1000000, .columns = 128, .interior = 4096}).parts == 1);
    // A gradient of few weights over many pixels.
    CHECK(planProduct({.rows = 64, .columns = 576, .interior = 200704, .mostParts = 512}).parts >
          50);
}
