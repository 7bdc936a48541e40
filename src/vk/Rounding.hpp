// Whole numbers rounded up.
#pragma once

#include <cstdint>

namespace mpsvk::vk {

constexpr uint64_t divideUp(uint64_t value, uint64_t by) { return (value + by - 1) / by; }

/// The next multiple of `to`.
constexpr uint64_t roundUp(uint64_t value, uint64_t to) { return divideUp(value, to) * to; }

} // namespace mpsvk::vk
