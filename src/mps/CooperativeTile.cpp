#include "mps/CooperativeTile.hpp"

#include "vk/Device.hpp"

#include <limits>

namespace mpsvk::mps {

namespace {

/// What was measured is of devices with so many multiprocessors.
constexpr uint64_t multiprocessors = 132;

/// A tile and what its workgroups take, in microseconds for each 32 of the interior: element r is
/// the time of r + 1 workgroups that share a multiprocessor. The last one is as many as fit.
struct Candidate {
    CooperativeTile tile;
    std::vector<double> times;

    double time(uint64_t workgroups) const {
        const uint64_t atOnce = multiprocessors * times.size();
        const uint64_t rest = (workgroups % atOnce + multiprocessors - 1) / multiprocessors;
        return double(workgroups / atOnce) * times.back() + (rest ? times[rest - 1] : 0);
    }
};

/// Measured on an H100.
const Candidate candidates[] = {
    {{4, 2, 3, 4, 64}, {0.86}}, // 192 x 128 elements
    {{2, 2, 4, 4, 32}, {0.93, 1.02}},
    {{2, 2, 2, 4, 32}, {0.60, 0.78, 1.02}},
    {{2, 2, 4, 2, 32}, {0.80, 1.02, 1.25}}, // 128 x 64
    {{4, 1, 2, 2, 32}, {0.45, 0.60, 0.75}},
    {{2, 1, 4, 1, 32}, {0.30, 0.40, 0.50, 0.60}},
};
/// Of the second dispatch of a product in parts.
constexpr double finish = 3, bytesPerMicrosecond = 2.5e6;

uint64_t ceilDivide(uint64_t a, uint64_t b) { return (a + b - 1) / b; }

} // namespace

CooperativePlan planProduct(const CooperativeShape& s) {
    CooperativePlan best;
    double least = std::numeric_limits<double>::infinity();
    for (const Candidate& c : candidates) {
        if (c.tile.columns() != s.tileColumns || s.interiorStep % c.tile.depth != 0) continue;
        const uint64_t steps = ceilDivide(s.interior, 32);
        const uint64_t groups = ceilDivide(s.rows, c.tile.rows()) *
                                ceilDivide(s.columns, c.tile.columns()) * s.products;
        // A part has eight steps or more.
        for (uint64_t parts = 1; parts == 1 || (s.maySplit && parts <= 8 && 8 * parts <= steps);
             ++parts) {
            double time = c.time(groups * parts) * double(ceilDivide(steps, parts));
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

uint32_t CooperativeTile::invocations(const vk::Device& device) const {
    return subgroupsDown * subgroupsAcross * device.limits().subgroupSize;
}

std::vector<vk::Constant>
CooperativeTile::constants(const vk::Device& device,
                           std::initializer_list<vk::Constant> others) const {
    std::vector<vk::Constant> all = {{40, subgroupsDown}, {41, subgroupsAcross},
                                     {42, blocksDown},    {43, blocksAcross},
                                     {44, depth},         {45, invocations(device)}};
    all.insert(all.end(), others);
    return all;
}

CooperativeTile CooperativeTile::forWeights(uint64_t channels) {
    if (channels < 128) return {2, 2, 2, 4, 32};
    return {};
}

} // namespace mpsvk::mps
