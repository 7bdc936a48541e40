#include "vk/CommandList.hpp"

#include <algorithm>
#include <cstring>
#include <mutex>

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
    std::swap(noted_, other.noted_);
    std::swap(dispatches_, other.dispatches_);
    std::swap(sealed_, other.sealed_);
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

void CommandList::widen(size_t index, std::span<const Binding> wider,
                        std::span<const std::byte> beginning, std::span<const std::byte> more,
                        std::array<uint32_t, 3> groups) {
    Command& command = commands_[index];
    Binding* const bindings = bindings_.data() + command.firstBinding;
    forEachAccess(*this, command, [&](const Binding& binding, bool, bool writes) {
        const auto& resource = wider[size_t(&binding - bindings)].resource;
        if (writes)
            noteWrite(resource);
        else if (resource != binding.resource)
            retain(resource);
    });
    for (size_t i = 0; i < wider.size(); ++i) {
        bindings[i].offset = wider[i].offset;
        bindings[i].size = wider[i].size;
        bindings[i].bytes = wider[i].bytes;
    }
    const uint32_t before = command.parameterBytes, bytes = before + uint32_t(more.size());
    if (bytes > std::max(command.room, before)) {
        command.room = 2 * bytes; // so that growing step by step copies little
        const size_t at = bytes_.size();
        bytes_.resize(at + command.room);
        std::memcpy(bytes_.data() + at, bytes_.data() + command.parameters, before);
        command.parameters = uint32_t(at);
    }
    std::byte* const parameters = bytes_.data() + command.parameters;
    std::memcpy(parameters, beginning.data(), beginning.size());
    std::memcpy(parameters + before, more.data(), more.size());
    command.parameterBytes = bytes;
    command.groups = groups;
}

void CommandList::moveLast(size_t to) {
    std::rotate(commands_.begin() + ptrdiff_t(to), commands_.end() - 1, commands_.end());
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
    noted_.clear();
    dispatches_ = sealed_ = 0;
}

} // namespace mpsvk::vk
