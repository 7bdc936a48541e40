#include "mps/CooperativeTile.hpp"

#include "vk/Device.hpp"

#include <algorithm>
#include <limits>

namespace mpsvk::mps {

namespace {

/// What was measured is of devices with so many multiprocessors.
constexpr uint64_t multiprocessors = 132;

/// A tile and what its workgroups take, in the same unit for all: element r is the time of r + 1
/// workgroups that share a multiprocessor, for a step of 32 along the interior. The last one is as
/// many as fit.
struct Candidate {
    CooperativeTile tile;
    std::vector<double> times;

    double time(uint64_t workgroups) const {
        const uint64_t atOnce = multiprocessors * times.size();
        const uint64_t rest = (workgroups % atOnce + multiprocessors - 1) / multiprocessors;
        return double(workgroups / atOnce) * times.back() + (rest ? times[rest - 1] : 0);
    }
};

/// 192 x 128, 128 x 128 and 64 x 128 elements, measured on an H100.
const Candidate candidates[] = {
    {{4, 2, 3, 4, 64}, {0.80}},
    {{2, 2, 4, 4, 32}, {0.87, 0.95}},
    {{2, 2, 2, 4, 32}, {0.55, 0.72, 0.94}},
};

} // namespace

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

CooperativeTile CooperativeTile::forProduct(uint64_t rows, uint64_t columns, uint64_t interiorStep,
                                            uint64_t products) {
    const CooperativeTile* best = nullptr;
    double least = std::numeric_limits<double>::infinity();
    for (const Candidate& c : candidates) {
        if (interiorStep % c.tile.depth != 0) continue;
        const auto over = [](uint64_t size, uint64_t tile) { return (size + tile - 1) / tile; };
        const double time =
            c.time(over(rows, c.tile.rows()) * over(columns, c.tile.columns()) * products);
        if (time < least) {
            least = time;
            best = &c.tile;
        }
    }
    return *best;
}

CooperativeTile CooperativeTile::forConvolution(uint64_t rows, uint32_t columns,
                                                uint64_t interiorStep, uint64_t products) {
    if (columns == 16) return {4, 1, 2, 1, 32};
    if (columns == 64) return {2, 2, 4, 2, 32};
    return forProduct(rows, columns, interiorStep, products);
}

CooperativeTile CooperativeTile::forWeights(uint64_t channels) {
    if (channels < 128) return {2, 2, 2, 4, 32};
    return {};
}

} // namespace mpsvk::mps
