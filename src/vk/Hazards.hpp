// Decides where a barrier must stand: before a command that touches what an earlier one, since the
// last barrier, has written, or that writes what one has read.
#pragma once

#include "vk/CommandList.hpp"

#include <vector>

namespace mpsvk::vk {

class Hazards {
public:
    /// True when `command` must wait; the accesses before it are then forgotten.
    bool needsBarrier(const CommandList& list, const CommandList::Command& command);

private:
    struct Range {
        const void* space; ///< the VkBuffer or the texture
        VkDeviceSize begin, end;
    };
    static Range rangeOf(const Binding& binding);
    static bool overlaps(const std::vector<Range>& ranges, const Range& range);

    std::vector<Range> reads_, writes_;
};

} // namespace mpsvk::vk
