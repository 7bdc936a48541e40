// Where things that live for a part of a program lie in one piece of memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace mpsvk::mps {

/// Needs its bytes from command `begin` to before command `end`.
struct Tenant {
    uint64_t bytes = 0;
    size_t begin = 0, end = 0;
    uint64_t offset = 0; ///< where it was placed
};

/// Places each one where no other is that lives at the same time, and gives the bytes that are
/// needed for all. None lies across a multiple of `chunk`, which is at least the largest one's
/// size.
uint64_t place(std::span<Tenant> tenants, uint64_t chunk);

/// The same, but where it takes little more memory nobody takes a place that was just left:
/// commands that wait for nothing else would wait for those that used it last.
uint64_t placeApart(std::span<Tenant> tenants, uint64_t chunk);

/// The largest sum of what lives at the same time: nobody needs less.
uint64_t largestSum(std::span<const Tenant> tenants);

} // namespace mpsvk::mps
