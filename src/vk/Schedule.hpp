// The order in which a list's commands are submitted, and where barriers stand. Commands that do
// not wait for each other form a wave: the device may run them side by side, and one barrier stands
// between a wave and the next.
#pragma once

#include "vk/CommandList.hpp"

#include <vector>

namespace mpsvk::vk {

struct Scheduled {
    uint32_t command;  ///< in the list
    bool afterBarrier; ///< the first one of a wave but the first
};

/// Each command in the first wave after all that it waits for: those before it in the list which
/// write what it touches, or read what it writes. A label stays between what is before and after
/// it. Updates of parameters wait for the next wave that has a product, if there is one: they take
/// memory's time, and products arithmetic's.
std::vector<Scheduled> schedule(const CommandList& list);

} // namespace mpsvk::vk
