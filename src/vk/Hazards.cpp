#include "vk/Hazards.hpp"

#include <algorithm>

namespace mpsvk::vk {

Hazards::Range Hazards::rangeOf(const Binding& binding) {
    if (binding.texture) return {binding.texture, 0, VK_WHOLE_SIZE};
    return {(const void*)binding.handle, binding.offset, binding.offset + binding.size};
}

bool Hazards::overlaps(const std::vector<Range>& ranges, const Range& range) {
    return std::ranges::any_of(ranges, [&](const Range& other) {
        return other.space == range.space && other.begin < range.end && range.begin < other.end;
    });
}

bool Hazards::needsBarrier(const CommandList& list, const CommandList::Command& command) {
    bool conflict = false;
    forEachAccess(list, command, [&](const Binding& binding, bool reads, bool writes) {
        const Range range = rangeOf(binding);
        conflict |= (reads || writes) && overlaps(writes_, range);
        conflict |= writes && overlaps(reads_, range);
    });
    if (conflict) {
        reads_.clear();
        writes_.clear();
    }
    forEachAccess(list, command, [&](const Binding& binding, bool reads, bool writes) {
        const Range range = rangeOf(binding);
        if (writes)
            writes_.push_back(range);
        else if (reads)
            reads_.push_back(range);
    });
    return conflict;
}

} // namespace mpsvk::vk
