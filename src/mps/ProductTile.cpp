#include "mps/ProductTile.hpp"

#include "mps/DeviceTable.hpp"

#include <mpsvk/Error.hpp>

#include <algorithm>
#include <array>
#include <limits>
#include <string>
#include <utility>

namespace mpsvk::mps {

namespace {

/// Of one tile that share a multiprocessor.
constexpr size_t mostShared = 8;

/// A tile and what its workgroups take, in microseconds for each 32 of the interior: element r is
/// the time of r + 1 workgroups that share a multiprocessor. The last one is as many as fit.
struct Candidate {
    ProductTile tile;
    std::array<double, mostShared> times{};

    double time(uint64_t workgroups, uint64_t mostAtOnce, uint64_t multiprocessors) const {
        const auto fit = uint64_t(std::ranges::find(times, 0.0) - times.begin());
        const uint64_t shared = std::min(fit, mostAtOnce);
        const uint64_t atOnce = multiprocessors * shared;
        // Subgroups that share the depth hide each other's waits, as other workgroups do elsewhere.
        if (tile.deep > 1 && workgroups > multiprocessors)
            return std::numeric_limits<double>::infinity();
        if (workgroups <= atOnce) return times[vk::divideUp(workgroups, multiprocessors) - 1];
        // Those that share a multiprocessor end together, and the next ones share it again.
        return double(vk::divideUp(workgroups, atOnce)) * times[shared - 1];
    }
};

/// Measured on an H100.
const Candidate candidates[] = {
    {{true, 4, 2, 3, 4, 64}, {0.69}}, // 192 x 128 elements
    {{true, 2, 2, 4, 4, 32}, {0.58, 0.86}},
    {{true, 2, 2, 3, 4, 32}, {0.47, 0.73}}, // 96 x 128
    {{true, 2, 2, 2, 4, 32}, {0.43, 0.61}},
    {{true, 2, 2, 4, 2, 32}, {0.47, 0.63, 1.08}}, // 128 x 64
    {{true, 4, 1, 2, 2, 32}, {0.45, 0.60, 0.75}},
    {{true, 2, 1, 4, 1, 32}, {0.30, 0.40, 0.50, 0.60}},
    {{true, 1, 4, 2, 2, 32}, {0.32, 0.40, 0.50, 0.60}}, // 32 x 128
    // Of twice as many subgroups.
    {{true, 2, 2, 4, 4, 64, 1, 2}, {0.43}},
    {{true, 2, 2, 3, 4, 64, 1, 2}, {0.37}},
    {{true, 2, 2, 2, 4, 64, 1, 2}, {0.31}},
    {{true, 2, 2, 4, 2, 64, 1, 2}, {0.32}},
    {{false, 8, 16, 4, 2, 8}, {4.3, 7.0}}, // 128 x 128
    {{false, 8, 16, 2, 2, 8}, {3.1, 4.6, 5.5}},
    {{false, 16, 8, 4, 2, 8}, {4.9, 7.5}}, // 256 x 64
    {{false, 16, 8, 2, 2, 8}, {2.9, 4.4, 5.8}},
    {{false, 16, 8, 2, 1, 8}, {1.7, 2.8, 3.8, 4.9}}, // 128 x 32
    {{false, 4, 16, 2, 2, 8}, {2.7, 3.2, 4.4, 5.1}}, // 32 x 128
    {{false, 16, 4, 2, 1, 8}, {1.5, 2.0, 2.7, 3.4}}, // 128 x 16
    // Of three bf16.
    {{true, 2, 2, 2, 4, 16, 3}, {1.4, 2.25}}, // 64 x 128
    {{true, 1, 4, 4, 2, 16, 3}, {1.4, 2.25}}, // the same
    {{true, 2, 2, 2, 2, 16, 3}, {0.9, 1.5}},  // 64 x 64
    // Of two, estimated.
    {{true, 4, 2, 3, 4, 32, 2}, {2.0}},
    {{true, 2, 2, 4, 4, 16, 2}, {1.7, 2.5}},
    {{true, 2, 2, 2, 4, 16, 2}, {1.0, 1.5, 2.2}},
    {{true, 2, 2, 4, 2, 16, 2}, {1.0, 1.5, 2.2}},
    {{true, 4, 1, 2, 2, 16, 2}, {0.6, 1.0, 1.4}},
};
/// Of 32, in each part.
constexpr uint64_t leastSteps = 4;
/// Of the second dispatch of a product in parts.
constexpr double finish = 3.3, bytesPerMicrosecond = 3.2e6;

/// Tiles in registers for devices that were not measured: as other libraries have them there.
constexpr ProductTile blockTiles[] = {
    {false, 16, 16, 2, 2, 8}, // 128 x 128
    {false, 8, 16, 4, 2, 8},  {false, 8, 16, 2, 2, 8}, {false, 4, 16, 2, 2, 8},
    {false, 16, 8, 4, 2, 8}, // 256 x 64
    {false, 16, 8, 2, 2, 8},  {false, 8, 16, 2, 1, 8}, {false, 8, 8, 2, 2, 8},
    {false, 8, 8, 1, 2, 8},   {false, 16, 4, 2, 2, 8}, // 128 x 32
    {false, 16, 8, 2, 1, 8},  {false, 8, 8, 2, 1, 8},  {false, 8, 8, 1, 1, 8},
    {false, 16, 4, 2, 1, 8}, // 128 x 16
};

/// An estimate, by an H100's like tiles: products, whose operands are loaded the more often the
/// smaller an invocation's blocks are, and memory that is read the more often the smaller the tile
/// is; and a wait for it that other workgroups fill. A multiprocessor is taken to have twice the
/// shared memory that one workgroup may have.
Candidate estimate(const ProductTile& tile, const vk::Limits& limits) {
    constexpr double perElement = 1.7e-4, perLoad = 0.25, perOperand = 1e-3, wait = 0.45;
    const double speed = tableOf(limits.processor).speed;
    const double loads = 1.0 / tile.blocksDown + 1.0 / tile.blocksAcross;
    const double products = double(tile.rows() * tile.columns()) * perElement;
    const double each =
        products * (1 + perLoad * loads) + (tile.rows() + tile.columns()) * perOperand;
    const uint64_t fit = 2 * limits.sharedMemoryBytes / tile.sharedBytes();
    Candidate made{tile};
    for (size_t i = 0; i < std::clamp<uint64_t>(fit, 1, mostShared); ++i) {
        const auto workgroups = double(i + 1);
        made.times[i] = (workgroups * each + wait / workgroups) / speed;
    }
    return made;
}

bool fits(const ProductTile& tile, const vk::Limits& limits, const ProductShape& s) {
    return tile.cooperative == s.cooperative && tile.shares == s.shares &&
           tile.columns() == s.tileColumns && s.interiorStep % tile.depth == 0 &&
           (tile.deep == 1 || (s.mayBeDeep && s.parts == 0)) &&
           tile.invocations(limits) <= limits.workGroupInvocations &&
           tile.sharedBytes(s.rightAlong) <= limits.sharedMemoryBytes;
}

bool hasRegisters(const ProductTile& tile, const vk::Limits& limits) {
    return 16 * tile.blocksDown * tile.blocksAcross <= tableOf(limits.processor).mostSums;
}

/// The candidates of a device that fit it.
std::vector<Candidate> candidatesFor(const vk::Limits& limits, const ProductShape& s) {
    const DeviceTable table = tableOf(limits.processor);
    std::vector<Candidate> made;
    const bool isMeasured = table.isMeasured || s.cooperative;
    for (const Candidate& c : candidates) {
        if (!isMeasured || !fits(c.tile, limits, s)) continue;
        made.push_back(c);
        // Of the two ways to cut 64 x 128 elements of three bf16.
        const bool isSlower =
            c.tile.shares == 3 && c.tile.columns() == 128 && (c.tile.across == 4) == s.leftAlong;
        for (double& time : made.back().times) time *= (isSlower ? 1.05 : 1.0) / table.speed;
    }
    const auto addEstimates = [&](bool mustHaveRegisters) {
        if (!made.empty()) return;
        for (const ProductTile& tile : blockTiles)
            if (fits(tile, limits, s) && (hasRegisters(tile, limits) || !mustHaveRegisters))
                made.push_back(estimate(tile, limits));
    };
    // Also where a measured device has less shared memory than an H100's tiles take.
    addEstimates(true);
    addEstimates(false);
    if (made.empty())
        throw DeviceError("No tile of " + std::to_string(s.tileColumns) + " columns fits " +
                          std::to_string(limits.workGroupInvocations) + " invocations and " +
                          std::to_string(limits.sharedMemoryBytes) + " bytes of shared memory.");
    return made;
}

uint64_t workgroups(const ProductShape& s, const ProductTile& tile) {
    return vk::divideUp(s.rows, tile.rows()) * vk::divideUp(s.columns, tile.columns()) * s.products;
}

double timeOf(const vk::Limits& limits, const ProductShape& s, const Candidate& c, uint64_t parts) {
    const uint64_t steps = vk::divideUp(vk::divideUp(s.interior, 32), parts);
    const double time =
        c.time(workgroups(s, c.tile) * parts, s.atOnce, limits.processor.multiprocessors) *
        double(steps);
    if (parts == 1) return time;
    return time + finish +
           double(8 * s.rows * s.columns * s.products * parts) /
               (bytesPerMicrosecond * bandwidthOf(limits.processor));
}

} // namespace

bool hasTile(const vk::Limits& limits, const ProductShape& s) {
    const auto does = [&](const ProductTile& tile) { return fits(tile, limits, s); };
    return std::ranges::any_of(candidates, does, &Candidate::tile) ||
           std::ranges::any_of(blockTiles, does);
}

ProductPlan planProduct(const vk::Limits& limits, const ProductShape& s) {
    ProductPlan best;
    double least = std::numeric_limits<double>::infinity();
    const uint64_t steps = vk::divideUp(s.interior, 32);
    for (const Candidate& c : candidatesFor(limits, s)) {
        const auto canBe = [&](uint64_t parts) {
            if (s.parts != 0) return parts == s.parts;
            return parts == 1 || (parts <= s.mostParts && leastSteps * parts <= steps);
        };
        for (uint64_t parts = std::max<uint64_t>(s.parts, 1); canBe(parts); ++parts) {
            const double time = timeOf(limits, s, c, parts);
            if (time >= least) continue;
            least = time;
            best = {c.tile, uint32_t(parts), time};
        }
    }
    return best;
}

std::vector<ProductTile> tilesFor(const vk::Limits& limits, const ProductShape& s,
                                  const ProductPlan& plan) {
    std::vector<Candidate> all = candidatesFor(limits, s);
    for (const ProductTile& tile : blockTiles)
        if (fits(tile, limits, s) && hasRegisters(tile, limits) &&
            std::ranges::count(all, tile, &Candidate::tile) == 0)
            all.push_back(estimate(tile, limits));
    std::vector<std::pair<double, ProductTile>> others;
    for (const Candidate& c : all)
        if (c.tile != plan.tile && c.tile.deep == plan.tile.deep &&
            (plan.parts * plan.tile.deep == 1 || c.tile.depth == plan.tile.depth))
            others.emplace_back(timeOf(limits, s, c, plan.parts), c.tile);
    std::ranges::stable_sort(others, {}, &std::pair<double, ProductTile>::first);
    std::vector<ProductTile> tiles = {plan.tile};
    for (const auto& [time, tile] : others) tiles.push_back(tile);
    return tiles;
}

uint64_t ProductTile::sharedBytes(bool rightAlong) const {
    const uint64_t pixels = 4 * rows();
    if (!cooperative) return 2 * 16 * depth * (rows() / 4 + 1 + columns() / 4 + 1) + pixels;
    // Operands lie along the interior or across it.
    const auto operand = [&](uint64_t size, bool along) {
        return std::max<uint64_t>(depth * (size / 8 + 1), along ? size * (depth / 8 + 1) : 0);
    };
    const uint64_t strips = 16 * down * across * deep * (4 * blocksAcross + 1);
    const uint64_t operands = operand(rows(), true) + operand(columns(), rightAlong);
    return 16 * std::max(shares * operands, strips) + pixels;
}

uint32_t ProductTile::invocations(const vk::Limits& limits) const {
    return down * across * deep * (cooperative ? limits.subgroupSize : 1);
}

std::vector<vk::Constant> ProductTile::constants(const vk::Device& device,
                                                 std::initializer_list<vk::Constant> others) const {
    std::vector<vk::Constant> all = {{40, down},       {41, across},
                                     {42, blocksDown}, {43, blocksAcross},
                                     {44, depth},      {45, invocations(device.limits())},
                                     {52, deep},       {53, shares}};
    all.insert(all.end(), others);
    return all;
}

} // namespace mpsvk::mps
