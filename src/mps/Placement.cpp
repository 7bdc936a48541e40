#include "mps/Placement.hpp"

#include <algorithm>
#include <functional>
#include <map>
#include <numeric>
#include <vector>

namespace mpsvk::mps {

namespace {

bool meet(const Tenant& a, const Tenant& b) { return a.begin < b.end && b.begin < a.end; }

/// What commands that run side by side may take, or a tenth of what is needed.
constexpr uint64_t littleMemory = 64 << 20;
/// Commands between two that use the same place: as many as there is memory for.
constexpr size_t rests[] = {32, 16, 8, 4, 2};

/// Each in turn into the smallest gap that holds it.
uint64_t placeInOrder(std::span<Tenant> tenants, std::span<const size_t> order, uint64_t chunk) {
    std::vector<size_t> placed; // by rising offset
    uint64_t top = 0;
    for (const size_t i : order) {
        Tenant& tenant = tenants[i];
        uint64_t free = 0, best = 0, bestGap = UINT64_MAX;
        // Where it begins in a gap from `from` on, and whether it then ends by `to`.
        const auto tryGap = [&](uint64_t from, uint64_t to) {
            if (from / chunk != (from + tenant.bytes - 1) / chunk)
                from = (from / chunk + 1) * chunk;
            if (from + tenant.bytes > to || to - from >= bestGap) return;
            best = from;
            bestGap = to - from;
        };
        for (const size_t other : placed) {
            if (!meet(tenants[other], tenant)) continue;
            tryGap(free, std::max(free, tenants[other].offset));
            free = std::max(free, tenants[other].offset + tenants[other].bytes);
        }
        if (bestGap == UINT64_MAX) tryGap(free, UINT64_MAX - 1);
        tenant.offset = best;
        top = std::max(top, best + tenant.bytes);
        placed.insert(
            std::ranges::upper_bound(placed, best, {}, [&](size_t k) { return tenants[k].offset; }),
            i);
    }
    return top;
}

} // namespace

uint64_t place(std::span<Tenant> tenants, uint64_t chunk) {
    // No order is best for all programs: the one that needs least wins.
    using Key = std::function<double(const Tenant&)>;
    const Key keys[] = {
        [](const Tenant& t) { return double(t.bytes); },
        [](const Tenant& t) { return double(t.bytes) * double(t.end - t.begin); },
        [](const Tenant& t) { return double(t.end - t.begin); },
        [](const Tenant& t) { return -double(t.begin); },
    };
    uint64_t least = UINT64_MAX;
    std::vector<uint64_t> offsets(tenants.size());
    for (const Key& key : keys) {
        std::vector<size_t> order(tenants.size());
        std::iota(order.begin(), order.end(), size_t(0));
        std::ranges::stable_sort(order, std::greater<>(),
                                 [&](size_t i) { return key(tenants[i]); });
        const uint64_t needed = placeInOrder(tenants, order, chunk);
        if (needed >= least) continue;
        least = needed;
        for (size_t i = 0; i < tenants.size(); ++i) offsets[i] = tenants[i].offset;
    }
    for (size_t i = 0; i < tenants.size(); ++i) tenants[i].offset = offsets[i];
    return tenants.empty() ? 0 : least;
}

uint64_t placeApart(std::span<Tenant> tenants, uint64_t chunk) {
    const uint64_t least = place(tenants, chunk), most = std::max(littleMemory, least + least / 10);
    std::vector<Tenant> apart(tenants.begin(), tenants.end());
    for (const size_t rest : rests) {
        for (size_t i = 0; i < tenants.size(); ++i)
            if (tenants[i].begin < tenants[i].end) apart[i].end = tenants[i].end + rest;
        const uint64_t needed = place(apart, chunk);
        if (needed > most) continue;
        for (size_t i = 0; i < tenants.size(); ++i) tenants[i].offset = apart[i].offset;
        return needed;
    }
    return least;
}

uint64_t largestSum(std::span<const Tenant> tenants) {
    std::map<size_t, int64_t> changes;
    for (const Tenant& tenant : tenants) {
        if (tenant.begin == tenant.end) continue;
        changes[tenant.begin] += int64_t(tenant.bytes);
        changes[tenant.end] -= int64_t(tenant.bytes);
    }
    int64_t sum = 0, most = 0;
    for (const auto& [command, change] : changes) most = std::max(most, sum += change);
    return uint64_t(most);
}

} // namespace mpsvk::mps
