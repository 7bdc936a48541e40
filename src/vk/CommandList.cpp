#include "vk/CommandList.hpp"

#include "vk/Lent.hpp"

#include <algorithm>
#include <cassert>
#include <mutex>
#include <unordered_map>
#include <unordered_set>

namespace mpsvk::vk {

/// The memory of lists that are gone, for the next ones: a step's commands take a megabyte, and
/// pages that are new to the process cost more than writing them.
struct CommandList::Spare {
    static constexpr size_t most = 8;
    std::mutex mutex;
    std::vector<std::unique_ptr<CommandList>> lists; ///< empty, the latest used last

    static Spare& instance() {
        static Spare* const spare = new Spare; // outlives every list
        return *spare;
    }
    void lendTo(CommandList& list) {
        std::lock_guard lock(mutex);
        if (lists.empty()) return;
        list.swapContents(*lists.back());
        lists.pop_back();
    }
    void takeBack(CommandList& list) {
        if (list.bindings_.capacity() == 0) return;
        std::lock_guard lock(mutex);
        if (lists.size() == most) return;
        lists.emplace_back(new CommandList(Fresh::Memory))->swapContents(list);
    }
};

Binding Binding::buffer(uint32_t number, const BufferSlice& slice) {
    Binding made;
    made.number = number;
    made.resource = slice.buffer;
    made.offset = slice.begin();
    made.size = made.bytes = slice.size;
    made.handle = slice.buffer->handle();
    return made;
}

Binding Binding::image(uint32_t number, const std::shared_ptr<Texture>& texture) {
    Binding made;
    made.number = number;
    made.resource = texture;
    made.texture = texture.get();
    return made;
}

CommandList::CommandList() { Spare::instance().lendTo(*this); }

CommandList::~CommandList() {
    clear();
    Spare::instance().takeBack(*this);
}

void CommandList::swapContents(CommandList& other) {
    std::swap(commands_, other.commands_);
    std::swap(bindings_, other.bindings_);
    std::swap(bytes_, other.bytes_);
    std::swap(textureRegions_, other.textureRegions_);
    std::swap(refreshes_, other.refreshes_);
    std::swap(included_, other.included_);
    std::swap(written_, other.written_);
    std::swap(retained_, other.retained_);
    std::swap(dispatches_, other.dispatches_);
}

uint32_t CommandList::addBytes(std::span<const std::byte> bytes) {
    const uint32_t at = uint32_t(bytes_.size());
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
    return at;
}

void CommandList::addBindings(Command& command, std::span<Binding> bindings) {
    command.firstBinding = uint32_t(bindings_.size());
    command.bindingCount = uint32_t(bindings.size());
    bindings_.insert(bindings_.end(), std::move_iterator(bindings.begin()),
                     std::move_iterator(bindings.end()));
}

void CommandList::notePending(Resource& resource) {
    if (!isTemplate_) resource.pendingWrites_.fetch_add(1, std::memory_order_relaxed);
}

void CommandList::noteWrite(const std::shared_ptr<Resource>& resource) {
    // Neighbouring commands write the same things: looking a little way back catches most repeats.
    const size_t window = std::min<size_t>(written_.size(), 8);
    for (size_t i = written_.size() - window; i < written_.size(); ++i)
        if (written_[i] == resource) return;
    notePending(*resource);
    written_.push_back(resource);
}

void CommandList::noteWrites(const Command& command) {
    forEachAccess(*this, command, [this](const Binding& binding, bool, bool writes) {
        if (writes) noteWrite(binding.resource);
    });
}

void CommandList::dispatch(std::shared_ptr<Pipeline> pipeline, std::span<Binding> bindings,
                           std::span<const std::byte> parameters, std::array<uint32_t, 3> groups,
                           Refresh refresh, std::span<const std::byte> pushConstants) {
    Command made{Kind::Dispatch, std::move(pipeline)};
    addBindings(made, bindings);
    made.parameters = addBytes(parameters);
    made.parameterBytes = uint32_t(parameters.size());
    made.push = addBytes(pushConstants);
    made.pushBytes = uint32_t(pushConstants.size());
    made.groups = groups;
    if (refresh) {
        refreshes_.push_back(std::move(refresh));
        made.extra = uint32_t(refreshes_.size());
        if (!isTemplate_) refreshes_.back()(bytes_.data() + made.parameters);
    }
    noteWrites(made);
    commands_.push_back(std::move(made));
    ++dispatches_;
}

void CommandList::dispatchIndirect(std::shared_ptr<Pipeline> pipeline, std::span<Binding> bindings,
                                   std::span<const std::byte> parameters,
                                   const BufferSlice& arguments,
                                   std::span<const std::byte> pushConstants) {
    Command made{Kind::DispatchIndirect, std::move(pipeline)};
    addBindings(made, bindings);
    bindings_.push_back(Binding::buffer(UINT32_MAX, arguments));
    ++made.bindingCount;
    made.parameters = addBytes(parameters);
    made.parameterBytes = uint32_t(parameters.size());
    made.push = addBytes(pushConstants);
    made.pushBytes = uint32_t(pushConstants.size());
    noteWrites(made);
    commands_.push_back(std::move(made));
    ++dispatches_;
}

void CommandList::copy(const BufferSlice& source, const BufferSlice& destination) {
    if (source.size == 0) return;
    Command made{Kind::Copy, nullptr};
    Binding both[] = {Binding::buffer(0, source), Binding::buffer(1, destination)};
    addBindings(made, both);
    noteWrites(made);
    commands_.push_back(std::move(made));
}

void CommandList::fill(const BufferSlice& destination, uint32_t word) {
    if (destination.size == 0) return;
    Command made{Kind::Fill, nullptr};
    Binding one[] = {Binding::buffer(0, destination)};
    addBindings(made, one);
    made.groups[0] = word;
    noteWrites(made);
    commands_.push_back(std::move(made));
}

void CommandList::copy(const BufferSlice& source, const std::shared_ptr<Texture>& destination,
                       const VkBufferImageCopy& region) {
    Command made{Kind::CopyToTexture, nullptr};
    Binding both[] = {Binding::buffer(0, source), Binding::image(1, destination)};
    addBindings(made, both);
    textureRegions_.push_back(region);
    made.extra = uint32_t(textureRegions_.size());
    noteWrites(made);
    commands_.push_back(std::move(made));
}

void CommandList::copy(const std::shared_ptr<Texture>& source, const BufferSlice& destination,
                       const VkBufferImageCopy& region) {
    Command made{Kind::CopyFromTexture, nullptr};
    Binding both[] = {Binding::image(0, source), Binding::buffer(1, destination)};
    addBindings(made, both);
    textureRegions_.push_back(region);
    made.extra = uint32_t(textureRegions_.size());
    noteWrites(made);
    commands_.push_back(std::move(made));
}

void CommandList::label(LabelKind kind, std::string_view name) {
    Command made{Kind::Label, nullptr};
    made.push = addBytes(std::as_bytes(std::span(name)));
    made.pushBytes = uint32_t(name.size());
    made.groups[0] = uint32_t(kind);
    commands_.push_back(std::move(made));
}

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
    const std::byte* refreshed = owner.bytes_.data() + included.refreshed;
    for (const Command& command : list.commands_) {
        addCopy(command, bases, lend);
        if (command.kind != Kind::Dispatch || !command.extra) continue;
        std::copy_n(refreshed, command.parameterBytes, bytes_.data() + commands_.back().parameters);
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

CommandList::Traffic CommandList::traffic(size_t first, size_t last) const {
    Traffic sum;
    for (size_t i = first; i < last; ++i)
        forEachAccess(*this, commands_[i], [&](const Binding& binding, bool reads, bool writes) {
            if (reads) sum.read += binding.bytes;
            if (writes) sum.written += binding.bytes;
        });
    return sum;
}

void CommandList::clear() {
    for (const auto& resource : written_)
        if (!isTemplate_) resource->pendingWrites_.fetch_sub(1, std::memory_order_release);
    written_.clear();
    commands_.clear();
    bindings_.clear();
    bytes_.clear();
    textureRegions_.clear();
    refreshes_.clear();
    included_.clear();
    retained_.clear();
    dispatches_ = 0;
}

} // namespace mpsvk::vk
