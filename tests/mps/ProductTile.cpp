#include "mps/ProductTile.hpp"

#include <catch2/catch_test_macros.hpp>

using namespace mpsvk::mps;

namespace {

/// Of glsl/cooperative.glsl, with the pixels of gemmCooperative.glsl.
uint64_t sharedBytes(const ProductTile& tile) {
    const uint64_t along = tile.rows() * (tile.depth / 8 + 1);
    const uint64_t operands = 16 * (along + tile.depth * (tile.columns() / 8 + 1));
    const uint64_t subgroups = tile.down * tile.across;
    const uint64_t strips = 16 * 16 * subgroups * (4 * tile.blocksAcross + 1);
    return std::max(operands, strips) + 4 * tile.rows();
}

} // namespace

TEST_CASE("a plan of a product fits its shape and the least device") {
    for (const uint64_t columns : {16, 32, 64, 128})
        for (const uint64_t step : {32, 64, 96})
            for (const uint64_t rows : {1, 100, 3136, 50176, 1000000})
                for (const uint64_t steps : {1, 9, 36, 200})
                    for (const bool maySplit : {false, true}) {
                        INFO(rows << " rows, tiles of " << columns << ", " << steps << " steps of "
                                  << step);
                        const auto [tile, parts] = planProduct({.rows = rows,
                                                                .columns = 2 * columns,
                                                                .interior = steps * step,
                                                                .tileColumns = columns,
                                                                .interiorStep = step,
                                                                .maySplit = maySplit});
                        CHECK(tile.columns() == columns);
                        CHECK(step % tile.depth == 0);
                        // With subgroups of 32 each invocation loads whole chunks of both operands.
                        const uint64_t lanes = 32 * tile.down * tile.across;
                        CHECK(lanes <= 256);
                        CHECK(tile.rows() * tile.depth / 8 % lanes == 0);
                        CHECK(tile.columns() * tile.depth / 8 % lanes == 0);
                        CHECK(sharedBytes(tile) <= 48 * 1024);
                        CHECK(parts >= 1);
                        CHECK((parts == 1 || (maySplit && parts * 8 <= steps * step / 32)));
                    }
}

TEST_CASE("a plan fills the device") {
    // Two waves of the largest tiles rather than three of others.
    CHECK(planProduct({.rows = 50176, .columns = 128, .interior = 1152}).tile.rows() == 192);
    // Many workgroups: two of 128 x 128 on a multiprocessor.
    CHECK(planProduct({.rows = 4096, .columns = 4096, .interior = 4096}).tile.rows() == 128);
    // Few rows and a long interior: in parts.
    CHECK(planProduct({.rows = 128, .columns = 1024, .interior = 4096}).parts > 1);
    CHECK(planProduct({.rows = 1000000, .columns = 128, .interior = 4096}).parts == 1);
}
