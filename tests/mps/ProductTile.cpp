#include "mps/ProductTile.hpp"

#include "mps/DeviceTable.hpp"

#include <mpsvk/Error.hpp>

#include <catch2/catch_test_macros.hpp>

#include <algorithm>

using namespace mpsvk;
using namespace mpsvk::mps;
using vk::Architecture;

namespace {

vk::Limits limitsOf(Architecture architecture, VkDriverId driver, uint32_t multiprocessors,
                    uint32_t subgroupSize, uint32_t sharedBytes, uint32_t invocations) {
    vk::Limits limits;
    limits.processor = {architecture, driver, multiprocessors, false};
    limits.subgroupSize = subgroupSize;
    limits.sharedMemoryBytes = sharedBytes;
    limits.workGroupInvocations = invocations;
    return limits;
}

const vk::Limits h100 =
    limitsOf(Architecture::Nvidia, VK_DRIVER_ID_NVIDIA_PROPRIETARY, 132, 32, 48 << 10, 1024);

const vk::Limits others[] = {
    h100,
    limitsOf(Architecture::Nvidia, VK_DRIVER_ID_MESA_NVK, 20, 32, 48 << 10, 1024),
    limitsOf(Architecture::Amd, VK_DRIVER_ID_MESA_RADV, 96, 64, 64 << 10, 1024),
    limitsOf(Architecture::Amd, VK_DRIVER_ID_AMD_PROPRIETARY, 32, 64, 32 << 10, 1024),
    limitsOf(Architecture::Intel, VK_DRIVER_ID_INTEL_OPEN_SOURCE_MESA, 32, 32, 64 << 10, 1024),
    limitsOf(Architecture::Apple, VK_DRIVER_ID_MOLTENVK, 10, 32, 32 << 10, 1024),
    limitsOf(Architecture::Mali, VK_DRIVER_ID_ARM_PROPRIETARY, 8, 16, 32 << 10, 512),
    limitsOf(Architecture::Mali, VK_DRIVER_ID_ARM_PROPRIETARY, 4, 8, 16 << 10, 256),
    limitsOf(Architecture::Adreno, VK_DRIVER_ID_QUALCOMM_PROPRIETARY, 6, 64, 32 << 10, 1024),
    limitsOf(Architecture::Adreno, VK_DRIVER_ID_MESA_TURNIP, 2, 128, 16 << 10, 256),
    limitsOf(Architecture::Other, {}, 1, 1, 16 << 10, 128), // the least that Vulkan allows
};

void checkTile(const vk::Limits& limits, const ProductShape& shape, const ProductTile& tile) {
    CHECK(tile.cooperative == shape.cooperative);
    CHECK(tile.shares == shape.shares);
    CHECK(tile.columns() == shape.tileColumns);
    CHECK(shape.interiorStep % tile.depth == 0);
    // Each invocation loads whole chunks of both operands, and as many as the next one; of a narrow
    // right operand in registers one or none.
    const uint64_t lanes = tile.invocations(limits);
    const uint64_t chunk = tile.cooperative && tile.shares == 1 ? 8 : 4;
    CHECK(lanes <= limits.workGroupInvocations);
    CHECK(tile.rows() <= mostTileRows);
    CHECK(tile.rows() * tile.depth / chunk % lanes == 0);
    const uint64_t right = tile.columns() * tile.depth / chunk;
    CHECK((right % lanes == 0 || (!tile.cooperative && right < lanes)));
    CHECK(lanes % (tile.columns() / chunk) == 0); // those across the interior are of one column
    CHECK(tile.sharedBytes(shape.rightAlong) <= limits.sharedMemoryBytes);
}

void checkPlan(const vk::Limits& limits, const ProductShape& shape) {
    INFO(vk::architectureName(limits.processor.architecture)
         << ", " << limits.sharedMemoryBytes << " bytes shared: " << shape.rows
         << " rows, tiles of " << shape.tileColumns << " columns, interior " << shape.interior
         << " in steps of " << shape.interiorStep << (shape.cooperative ? ", cooperative" : "")
         << ", " << shape.shares << " shares" << (shape.rightAlong ? ", right along" : ""));
    const ProductPlan plan = planProduct(limits, shape);
    const uint64_t parts = plan.parts;
    CHECK(parts >= 1);
    CHECK((parts == 1 || (parts <= shape.mostParts && parts * 4 <= (shape.interior + 31) / 32)));
    const auto tiles = tilesFor(limits, shape, plan);
    REQUIRE(!tiles.empty());
    CHECK(tiles.front() == plan.tile);
    for (const ProductTile& tile : tiles) {
        checkTile(limits, shape, tile);
        CHECK(std::ranges::count(tiles, tile) == 1);
        CHECK((parts == 1 || tile.depth == plan.tile.depth));
    }
    const ProductPlan again = planProduct(limits, shape);
    CHECK((again.tile == plan.tile && again.parts == plan.parts));
    ProductShape given = shape;
    given.parts = 3;
    CHECK(planProduct(limits, given).parts == 3);
}

} // namespace

TEST_CASE("a plan of a product fits its shape and the device") {
    for (const vk::Limits& limits : others)
        for (const bool cooperative : {true, false})
            for (const uint64_t columns : {16, 32, 64, 128})
                for (const uint64_t step : {8, 32, 64, 96}) {
                    if (cooperative && (step == 8 || &limits != others)) continue;
                    for (const uint64_t rows : {1, 100, 3136, 50176, 1000000})
                        for (const uint64_t steps : {1, 36, 200})
                            for (const uint64_t mostParts : {1, 8, 512})
                                checkPlan(limits, {.rows = rows,
                                                   .columns = 2 * columns,
                                                   .interior = steps * step,
                                                   .cooperative = cooperative,
                                                   .tileColumns = columns,
                                                   .interiorStep = step,
                                                   .mostParts = mostParts});
                }
}

TEST_CASE("a plan of a product of bf16 fits its shape and the device") {
    for (const uint32_t shares : {2, 3})
        for (const uint64_t columns : {32, 64, 128})
            for (const uint64_t step : {16, 32, 48, 64})
                for (const uint64_t rows : {1, 100, 3136, 50176, 1000000})
                    for (const uint64_t mostParts : {1, 8, 512})
                        for (const bool rightAlong : {false, true}) {
                            if (shares == 3 && columns == 32) continue;
                            checkPlan(h100, {.rows = rows,
                                             .columns = 2 * columns,
                                             .interior = 36 * step,
                                             .shares = shares,
                                             .tileColumns = columns,
                                             .interiorStep = step,
                                             .mostParts = mostParts,
                                             .rightAlong = rightAlong});
                        }
}

TEST_CASE("whether there is a tile for a product is known beforehand") {
    for (const uint32_t sharedBytes : {16 << 10, 32 << 10, 48 << 10}) {
        vk::Limits limits = h100;
        limits.sharedMemoryBytes = sharedBytes;
        for (const uint32_t shares : {1, 2, 3})
            for (const bool cooperative : {false, true})
                for (const uint64_t columns : {16, 32, 64, 128})
                    for (const uint64_t step : {8, 16, 32}) {
                        const ProductShape shape{.rows = 1000,
                                                 .columns = columns,
                                                 .interior = 1024,
                                                 .cooperative = cooperative,
                                                 .shares = shares,
                                                 .tileColumns = columns,
                                                 .interiorStep = step};
                        INFO(sharedBytes << " bytes shared, " << columns << " columns, steps of "
                                         << step << (cooperative ? ", cooperative" : "") << ", "
                                         << shares << " shares");
                        if (hasTile(limits, shape))
                            checkPlan(limits, shape);
                        else
                            CHECK_THROWS_AS(planProduct(limits, shape), DeviceError);
                    }
    }
    // Cooperative matrices share more than tiles in registers do.
    vk::Limits least = h100;
    least.sharedMemoryBytes = 12 << 10;
    CHECK(!hasTile(least, {.cooperative = true}));
    CHECK(hasTile(least, {.cooperative = false}));
    CHECK(hasTile(h100, {.cooperative = true}));
    CHECK(hasTile(h100, {.shares = 2}));
    CHECK(hasTile(h100, {.shares = 3}));
    CHECK(!hasTile(h100, {.shares = 3, .tileColumns = 32}));
    CHECK(!hasTile(least, {.shares = 2, .tileColumns = 64}));
}

TEST_CASE("tiles of bf16 have all shares of their operands in shared memory") {
    const ProductTile halves{true, 4, 2, 3, 4, 64};
    const uint64_t pixels = 4 * halves.rows();
    for (const uint32_t shares : {2, 3}) {
        ProductTile tile = halves;
        tile.shares = shares;
        CHECK(tile.sharedBytes() - pixels == shares * (halves.sharedBytes() - pixels));
    }
    // The largest one fits unless both operands lie along the interior.
    const auto hasLargest = [](bool rightAlong) {
        const ProductShape shape{
            .rows = 50176, .columns = 128, .interior = 1152, .shares = 2, .rightAlong = rightAlong};
        const auto tiles = tilesFor(h100, shape, planProduct(h100, shape));
        return std::ranges::count(tiles, 192u, &ProductTile::rows) > 0;
    };
    CHECK(hasLargest(false));
    CHECK(!hasLargest(true));
}

TEST_CASE("a plan fills the device") {
    // Two waves of the largest tiles rather than three of others.
    CHECK(planProduct(h100, {.rows = 50176, .columns = 128, .interior = 1152}).tile.rows() == 192);
    // Many workgroups: two of 128 x 128 on a multiprocessor.
    CHECK(planProduct(h100, {.rows = 4096, .columns = 4096, .interior = 4096}).tile.rows() == 128);
    // One for each multiprocessor at most: of twice as many subgroups, but not where the sums must
    // not depend on the rows.
    ProductShape single{.rows = 3136, .columns = 512, .interior = 4608};
    CHECK(planProduct(h100, single).tile.deep == 2);
    single.parts = 1;
    CHECK(planProduct(h100, single).tile.deep == 1);
    CHECK(planProduct(h100, {.rows = 12544, .columns = 512, .interior = 4608}).tile.deep == 1);
    // Few rows and a long interior: in parts.
    CHECK(planProduct(h100, {.rows = 128, .columns = 1024, .interior = 4096}).parts > 1);
    CHECK(planProduct(h100, {.rows = 1000000, .columns = 128, .interior = 4096}).parts == 1);
    // A gradient of few weights over many pixels.
    CHECK(
        planProduct(
            h100,
            {.rows = 64, .columns = 576, .interior = 200704, .interiorStep = 32, .mostParts = 512})
            .parts > 50);
}

TEST_CASE("large products have large tiles, small ones small tiles") {
    for (const vk::Limits& limits : others) {
        INFO(vk::architectureName(limits.processor.architecture)
             << ", " << limits.sharedMemoryBytes << " bytes shared");
        const auto tile = [&](uint64_t rows) {
            return planProduct(limits, {.rows = rows,
                                        .columns = 64,
                                        .interior = 64,
                                        .cooperative = false,
                                        .tileColumns = 64,
                                        .interiorStep = 8,
                                        .mostParts = 1})
                .tile;
        };
        CHECK(tile(1 << 20).rows() >= 64);
        CHECK(tile(1 << 20).rows() > tile(32).rows());
    }
}

TEST_CASE("devices with few registers have small blocks, and no tiles of 128 columns") {
    for (const vk::Limits& limits : others) {
        const DeviceTable table = tableOf(limits.processor);
        if (table.mostSums > 32) continue;
        CHECK(!hasWideTiles(limits));
        for (const uint64_t columns : {32, 64}) {
            const auto tile = planProduct(limits, {.rows = 10000,
                                                   .columns = columns,
                                                   .interior = 256,
                                                   .cooperative = false,
                                                   .tileColumns = columns,
                                                   .interiorStep = 8})
                                  .tile;
            CHECK(16 * tile.blocksDown * tile.blocksAcross <= table.mostSums);
        }
    }
    CHECK(hasWideTiles(h100));
}

TEST_CASE("a device with fewer multiprocessors takes larger tiles or fewer parts") {
    vk::Limits small = h100;
    small.processor.multiprocessors = 16;
    const ProductShape shape{.rows = 128, .columns = 1024, .interior = 4096};
    CHECK(planProduct(small, shape).parts < planProduct(h100, shape).parts);
}
