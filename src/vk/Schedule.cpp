#include "vk/Schedule.hpp"

#include <algorithm>
#include <map>
#include <memory_resource>
#include <unordered_map>

namespace mpsvk::vk {

namespace {

/// The waves that touched a range last, counted from 1; 0: none did.
struct Touched {
    uint32_t written = 0, read = 0;
};

/// A VkBuffer cut where accesses begin and end: an entry holds up to the next one. A texture is one
/// range.
class Space {
public:
    explicit Space(std::pmr::memory_resource* memory) : ranges_(memory) {
        ranges_.emplace(0, Touched());
    }

    /// The last wave that an access must come after.
    uint32_t waitsFor(VkDeviceSize begin, VkDeviceSize end, bool writes) {
        uint32_t wave = 0;
        const auto last = cut(end);
        for (auto it = cut(begin); it != last; ++it)
            wave = std::max({wave, it->second.written, writes ? it->second.read : 0});
        return wave;
    }

    void touch(VkDeviceSize begin, VkDeviceSize end, bool writes, uint32_t wave) {
        const auto first = cut(begin), last = cut(end);
        if (first == last) return;
        if (writes) {
            first->second = {wave, 0};
            ranges_.erase(std::next(first), last);
        } else {
            for (auto it = first; it != last; ++it)
                it->second.read = std::max(it->second.read, wave);
        }
    }

private:
    using Ranges = std::pmr::map<VkDeviceSize, Touched>;

    Ranges::iterator cut(VkDeviceSize at) {
        const auto after = ranges_.upper_bound(at), holds = std::prev(after);
        return holds->first == at ? holds : ranges_.emplace_hint(after, at, holds->second);
    }

    Ranges ranges_;
};

class Waves {
public:
    uint32_t waveOf(const CommandList& list, const CommandList::Command& command) {
        if (command.kind == CommandList::Kind::Label) return first_ = last_;
        uint32_t wave = first_;
        forEachAccess(list, command, [&](const Binding& binding, bool reads, bool writes) {
            if (!reads && !writes) return;
            const auto [begin, end] = rangeOf(binding);
            wave = std::max(wave, space(binding).waitsFor(begin, end, writes) + 1);
        });
        const Work work = command.pipeline ? command.pipeline->work() : Work::Any;
        if (work == Work::Update) wave = waveWithProduct(wave);
        if (work == Work::Product) noteProduct(wave);
        forEachAccess(list, command, [&](const Binding& binding, bool reads, bool writes) {
            if (!reads && !writes) return;
            const auto [begin, end] = rangeOf(binding);
            space(binding).touch(begin, end, writes, wave);
        });
        last_ = std::max(last_, wave);
        return wave;
    }

private:
    /// The first one from `wave` on; that one if there is none.
    uint32_t waveWithProduct(uint32_t wave) const {
        for (uint32_t w = wave; w < hasProduct_.size(); ++w)
            if (hasProduct_[w]) return w;
        return wave;
    }
    void noteProduct(uint32_t wave) {
        if (hasProduct_.size() <= wave) hasProduct_.resize(wave + 1);
        hasProduct_[wave] = true;
    }
    static std::pair<VkDeviceSize, VkDeviceSize> rangeOf(const Binding& binding) {
        if (binding.texture) return {0, 1};
        return {binding.offset, binding.offset + binding.size};
    }
    Space& space(const Binding& binding) {
        const void* const what =
            binding.texture ? (const void*)binding.texture->image() : (const void*)binding.handle;
        return spaces_.try_emplace(what, &memory_).first->second;
    }

    std::pmr::monotonic_buffer_resource memory_;
    std::unordered_map<const void*, Space> spaces_;
    std::vector<bool> hasProduct_;  ///< of a wave
    uint32_t first_ = 1, last_ = 1; ///< waves that the next command may be in, and that one is in
};

} // namespace

std::vector<Scheduled> schedule(const CommandList& list) {
    Waves waves;
    std::vector<uint32_t> waveOf;
    std::vector<Scheduled> order;
    waveOf.reserve(list.commands().size());
    order.reserve(list.commands().size());
    for (const auto& command : list.commands()) {
        order.push_back({uint32_t(order.size()), false});
        waveOf.push_back(waves.waveOf(list, command));
    }
    std::ranges::stable_sort(order, {}, [&](const Scheduled& s) { return waveOf[s.command]; });
    for (size_t i = 1; i < order.size(); ++i)
        order[i].afterBarrier = waveOf[order[i].command] != waveOf[order[i - 1].command];
    return order;
}

} // namespace mpsvk::vk
