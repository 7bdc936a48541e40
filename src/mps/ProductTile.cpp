#include "mps/ProductTile.hpp"

#include "vk/Device.hpp"

#include <algorithm>
#include <limits>

namespace mpsvk::mps {

namespace {

uint64_t ceilDivide(uint64_t a, uint64_t b) { return (a + b - 1) / b; }

/// What was measured is of devices with so many multiprocessors.
constexpr uint64_t multiprocessors = 132;

/// A tile and what its workgroups take, in microseconds for each 32 of the interior: element r is
/// the time of r + 1 workgroups that share a multiprocessor. The last one is as many as fit.
struct Candidate {
    ProductTile tile;
    std::vector<double> times;

    double time(uint64_t workgroups, uint64_t mostAtOnce) const {
        const uint64_t shared = std::min<uint64_t>(times.size(), mostAtOnce);
        const uint64_t atOnce = multiprocessors * shared;
        const uint64_t rest = ceilDivide(workgroups % atOnce, multiprocessors);
        return double(workgroups / atOnce) * times[shared - 1] + (rest ? times[rest - 1] : 0);
    }
};

/// Measured on an H100.
const Candidate candidates[] = {
    {{true, 4, 2, 3, 4, 64}, {0.86}}, // 192 x 128 elements
    {{true, 2, 2, 4, 4, 32}, {0.93, 1.02}},
    {{true, 2, 2, 2, 4, 32}, {0.60, 0.78, 1.02}},
    {{true, 2, 2, 4, 2, 32}, {0.80, 1.02, 1.25}}, // 128 x 64
    {{true, 4, 1, 2, 2, 32}, {0.45, 0.60, 0.75}},
    {{true, 2, 1, 4, 1, 32}, {0.30, 0.40, 0.50, 0.60}},
    {{false, 8, 16, 4, 2, 8}, {4.0, 7.0}}, // 128 x 128
    {{false, 8, 16, 2, 2, 8}, {2.3, 3.7, 5.4, 7.2}},
    {{false, 16, 8, 4, 2, 8}, {4.0, 7.0}}, // 256 x 64
    {{false, 16, 8, 2, 2, 8}, {2.3, 3.7, 5.4, 7.2}},
    {{false, 16, 4, 2, 2, 8}, {1.3, 1.9, 2.7, 3.6, 4.5, 5.4}}, // 128 x 32
    // Estimated.
    {{true, 4, 2, 3, 4, 32, true}, {2.0}},
    {{true, 2, 2, 4, 4, 16, true}, {1.7, 2.5}},
    {{true, 2, 2, 2, 4, 16, true}, {1.0, 1.5, 2.2}},
    {{true, 2, 2, 4, 2, 16, true}, {1.0, 1.5, 2.2}},
    {{true, 4, 1, 2, 2, 16, true}, {0.6, 1.0, 1.4}},
};
/// Of the second dispatch of a product in parts.
constexpr double finish = 4, bytesPerMicrosecond = 1.7e6;

} // namespace

ProductPlan planProduct(const ProductShape& s) {
    ProductPlan best;
    double least = std::numeric_limits<double>::infinity();
    for (const Candidate& c : candidates) {
        if (c.tile.cooperative != s.cooperative || c.tile.bfloat16 != s.bfloat16 ||
            c.tile.columns() != s.tileColumns || s.interiorStep % c.tile.depth != 0)
            continue;
        const uint64_t steps = ceilDivide(s.interior, 32);
        const uint64_t groups = ceilDivide(s.rows, c.tile.rows()) *
                                ceilDivide(s.columns, c.tile.columns()) * s.products;
        // A part has eight steps or more.
        for (uint64_t parts = 1; parts == 1 || (parts <= s.mostParts && 8 * parts <= steps);
             ++parts) {
            double time = c.time(groups * parts, s.atOnce) * double(ceilDivide(steps, parts));
            if (parts > 1)
                time += finish +
                        double(8 * s.rows * s.columns * s.products * parts) / bytesPerMicrosecond;
            if (time >= least) continue;
            least = time;
            best = {c.tile, uint32_t(parts)};
        }
    }
    return best;
}

uint32_t ProductTile::invocations(const vk::Device& device) const {
    return down * across * (cooperative ? device.limits().subgroupSize : 1);
}

std::vector<vk::Constant> ProductTile::constants(const vk::Device& device,
                                                 std::initializer_list<vk::Constant> others) const {
    std::vector<vk::Constant> all = {{40, down},         {41, across}, {42, blocksDown},
                                     {43, blocksAcross}, {44, depth},  {45, invocations(device)}};
    all.insert(all.end(), others);
    return all;
}

} // namespace mpsvk::mps
