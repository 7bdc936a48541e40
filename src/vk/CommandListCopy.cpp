// How the commands of one list become another's.
#include "vk/CommandList.hpp"
#include "vk/Lent.hpp"

#include <algorithm>
#include <cassert>
#include <unordered_map>
#include <unordered_set>

namespace mpsvk::vk {

CommandList::Uses CommandList::usesOf(std::span<const std::shared_ptr<Resource>> resources) const {
    Uses uses;
    std::unordered_map<const Resource*, uint32_t> places;
    for (uint32_t i = 0; i < resources.size(); ++i) places.emplace(resources[i].get(), i);
    const auto note = [&](std::vector<Uses::Use>& to, size_t at,
                          const std::shared_ptr<Resource>& resource) {
        const auto found = resource ? places.find(resource.get()) : places.end();
        if (found != places.end()) to.push_back({uint32_t(at), found->second});
    };
    for (size_t i = 0; i < bindings_.size(); ++i) note(uses.bindings, i, bindings_[i].resource);
    for (size_t i = 0; i < written_.size(); ++i) note(uses.written, i, written_[i]);
    for (size_t i = 0; i < commands_.size(); ++i)
        if (commands_[i].kind == Kind::Dispatch && commands_[i].extra)
            uses.refreshed.push_back(uint32_t(i));
    return uses;
}

namespace {
constexpr auto lend = [](const auto& object) { return lent(object.get()); };
constexpr auto own = [](const auto& object) { return object; };
} // namespace

template <class Hold, class ResourceAt>
CommandList::Bases CommandList::copyOperands(const CommandList& other, const Uses& uses, Hold hold,
                                             ResourceAt resourceAt) {
    const Bases bases{uint32_t(bindings_.size()), uint32_t(bytes_.size()),
                      uint32_t(textureRegions_.size())};
    bindings_.reserve(bindings_.size() + other.bindings_.size());
    for (const Binding& b : other.bindings_)
        bindings_.push_back(
            {b.number, hold(b.resource), b.offset, b.size, b.bytes, b.texture, b.handle});
    bytes_.insert(bytes_.end(), other.bytes_.begin(), other.bytes_.end());
    textureRegions_.insert(textureRegions_.end(), other.textureRegions_.begin(),
                           other.textureRegions_.end());
    for (const auto& [at, resource] : uses.bindings) {
        Binding& binding = bindings_[bases.binding + at];
        auto now = hold(resourceAt(resource));
        if (binding.texture) {
            binding.texture = static_cast<Texture*>(now.get());
        } else {
            auto& before = static_cast<Buffer&>(*binding.resource);
            auto& after = static_cast<Buffer&>(*now);
            binding.offset = binding.offset - before.offset() + after.offset();
            binding.handle = after.handle();
        }
        binding.resource = std::move(now);
    }
    commands_.reserve(commands_.size() + other.commands_.size());
    return bases;
}

template <class Hold>
void CommandList::addCopy(const Command& command, const Bases& bases, Hold hold) {
    Command copy{command.kind, hold(command.pipeline)};
    copy.firstBinding = command.firstBinding + bases.binding;
    copy.bindingCount = command.bindingCount;
    copy.parameters = command.parameters + bases.byte;
    copy.parameterBytes = command.parameterBytes;
    copy.room = command.room;
    copy.push = command.push + bases.byte;
    copy.pushBytes = command.pushBytes;
    copy.groups = command.groups;
    const bool isRegion =
        command.kind == Kind::CopyToTexture || command.kind == Kind::CopyFromTexture;
    copy.extra = isRegion ? command.extra + bases.region : 0;
    commands_.push_back(std::move(copy));
}

template <class Hold, class ResourceAt>
void CommandList::noteWritesOf(const CommandList& other, const Uses& uses, Hold hold,
                               ResourceAt resourceAt) {
    auto replaced = uses.written.begin();
    for (size_t i = 0; i < other.written_.size(); ++i) {
        const bool isReplaced = replaced != uses.written.end() && replaced->at == i;
        noteWrite(hold(isReplaced ? resourceAt((replaced++)->resource) : other.written_[i]));
    }
}

void CommandList::append(const CommandList& other, std::span<const std::shared_ptr<Resource>> from,
                         std::span<const std::shared_ptr<Resource>> to) {
    const Uses uses = other.usesOf(from);
    const auto resourceAt = [&](uint32_t i) { return to[i]; };
    const Bases bases = copyOperands(other, uses, own, resourceAt);
    for (const Command& command : other.commands_) {
        addCopy(command, bases, own);
        Command& copy = commands_.back();
        if (command.kind == Kind::Dispatch && command.extra) {
            const Refresh& refresh = other.refreshes_[command.extra - 1];
            if (isTemplate_) {
                refreshes_.push_back(refresh);
                copy.extra = uint32_t(refreshes_.size());
            } else {
                refresh(bytes_.data() + copy.parameters);
            }
        } else if (command.kind == Kind::Included) {
            Included& included = included_.emplace_back(other.included_[command.extra - 1]);
            copy.extra = uint32_t(included_.size());
            included.refreshed += bases.byte;
            refresh(included);
        }
    }
    noteWritesOf(other, uses, own, resourceAt);
    noted_.add(other.noted_);
    dispatches_ += other.dispatches_;
    retained_.insert(retained_.end(), other.retained_.begin(), other.retained_.end());
    // A resource that is used through another's binding is kept alive by nothing else.
    retained_.insert(retained_.end(), to.begin(), to.end());
}

void CommandList::include(const CommandList& other, const Uses& uses,
                          std::span<const std::shared_ptr<Resource>> to,
                          std::span<const std::shared_ptr<Resource>> more) {
    assert(!other.includesOthers());
    included_.push_back({&other, &uses, to, more, uint32_t(bytes_.size()), false});
    Included& included = included_.back();
    for (uint32_t at : uses.refreshed)
        addBytes(other.bytes(other.commands_[at].parameters, other.commands_[at].parameterBytes));
    refresh(included);
    Command command{Kind::Included, nullptr};
    command.extra = uint32_t(included_.size());
    commands_.push_back(std::move(command));
    noteWritesOf(other, uses, lend, [&](uint32_t i) { return included.resource(i); });
    dispatches_ += other.dispatches_;
}

void CommandList::refresh(Included& included) {
    if (isTemplate_ || included.isRefreshed) return;
    included.isRefreshed = true;
    std::byte* parameters = bytes_.data() + included.refreshed;
    for (uint32_t at : included.uses->refreshed) {
        const Command& command = included.list->commands_[at];
        included.list->refreshes_[command.extra - 1](parameters);
        parameters += command.parameterBytes;
    }
}

void CommandList::appendExpanded(const CommandList& other) {
    const Bases bases =
        copyOperands(other, {}, lend, [](uint32_t) { return std::shared_ptr<Resource>(); });
    for (const Command& command : other.commands_) {
        if (command.kind == Kind::Included)
            expand(other, other.included_[command.extra - 1]);
        else
            addCopy(command, bases, lend);
    }
    dispatches_ += other.dispatches_;
}

void CommandList::expand(const CommandList& owner, const Included& included) {
    const CommandList& list = *included.list;
    const Bases bases =
        copyOperands(list, *included.uses, lend, [&](uint32_t i) { return included.resource(i); });
    const size_t first = commands_.size();
    for (const Command& command : list.commands_) addCopy(command, bases, lend);
    const std::byte* refreshed = owner.bytes_.data() + included.refreshed;
    for (uint32_t at : included.uses->refreshed) {
        const Command& command = commands_[first + at];
        std::copy_n(refreshed, command.parameterBytes, bytes_.data() + command.parameters);
        refreshed += command.parameterBytes;
    }
}

void CommandList::forgetWrites(std::span<const std::shared_ptr<Resource>> resources) {
    const std::unordered_set<std::shared_ptr<Resource>> forgotten(resources.begin(),
                                                                  resources.end());
    std::erase_if(written_, [&](const auto& resource) {
        if (!forgotten.contains(resource)) return false;
        if (!isTemplate_) resource->pendingWrites_.fetch_sub(1, std::memory_order_release);
        return true;
    });
}

void CommandList::take(CommandList& other) {
    if (!empty() || !written_.empty() || !retained_.empty() || isTemplate_) {
        append(other);
        other.clear();
        return;
    }
    swapContents(other);
    for (const auto& resource : written_) notePending(*resource);
    for (Command& command : commands_) {
        if (command.kind != Kind::Dispatch || !command.extra) continue;
        refreshes_[command.extra - 1](bytes_.data() + command.parameters);
        command.extra = 0;
    }
    refreshes_.clear();
    for (Included& included : included_) refresh(included);
}

} // namespace mpsvk::vk
