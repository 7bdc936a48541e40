// What a command buffer will do, kept as plain data until it is submitted.
//
// Everything is recorded here first: a list can be replayed with other buffers in some places (a
// compiled graph is such a list), pipelines compile while the rest is recorded, and barriers are
// placed in one spot, where the list is turned into Vulkan commands (vk/Submission).
#pragma once

#include "vk/AddressFilter.hpp"
#include "vk/Memory.hpp"
#include "vk/Pipeline.hpp"
#include "vk/Texture.hpp"

#include <algorithm>
#include <array>
#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

namespace mpsvk::vk {

/// What a dispatch gives to one binding of its shader; whether it is read or written is known from
/// the shader.
struct Binding {
    uint32_t number = 0;
    std::shared_ptr<Resource> resource; ///< empty: an operand that this dispatch does not use
    VkDeviceSize offset = 0, size = 0;  ///< of a buffer: within its VkBuffer
    VkDeviceSize bytes = 0;             ///< of these, what the dispatch is about
    Texture* texture = nullptr;
    VkBuffer handle = VK_NULL_HANDLE;

    static Binding buffer(uint32_t number, const BufferSlice& slice);
    static Binding image(uint32_t number, const std::shared_ptr<Texture>& texture);
};

/// Writes what changes from one execution of a dispatch to the next (a dropout's ordinal): called
/// when the dispatch is recorded for execution, or else each time that its template is appended.
using Refresh = std::function<void(std::byte* parameters)>;

class CommandList {
public:
    CommandList();
    /// A list that is only appended to others: it does not count as pending work on what it writes.
    void setTemplate() { isTemplate_ = true; }
    /// Everything the list writes; may name a resource more than once.
    std::span<const std::shared_ptr<Resource>> written() const { return written_; }
    ~CommandList();
    CommandList(const CommandList&) = delete;
    CommandList& operator=(const CommandList&) = delete;

    /// `parameters` go to the uniform block at binding 0, `pushConstants` where the shader has
    /// some. The bindings are moved from.
    void dispatch(std::shared_ptr<Pipeline> pipeline, std::span<Binding> bindings,
                  std::span<const std::byte> parameters, std::array<uint32_t, 3> groups,
                  Refresh refresh = {}, std::span<const std::byte> pushConstants = {});
    /// The group counts are three uint32 in `arguments`.
    void dispatchIndirect(std::shared_ptr<Pipeline> pipeline, std::span<Binding> bindings,
                          std::span<const std::byte> parameters, const BufferSlice& arguments,
                          std::span<const std::byte> pushConstants = {});
    /// Makes a dispatch work on more. Its bindings become `wider`, in their order: of the same
    /// VkBuffers, around what was bound, each with a resource that is used as well. `beginning`
    /// replaces that of the parameters, `more` follows them.
    void widen(size_t command, std::span<const Binding> wider, std::span<const std::byte> beginning,
               std::span<const std::byte> more, std::array<uint32_t, 3> groups);
    /// The last command becomes command `to`.
    void moveLast(size_t to);
    void copy(const BufferSlice& source, const BufferSlice& destination);
    /// `word` repeated; offset and size must be multiples of 4.
    void fill(const BufferSlice& destination, uint32_t word);
    void copy(const BufferSlice& source, const std::shared_ptr<Texture>& destination,
              const VkBufferImageCopy& region);
    void copy(const std::shared_ptr<Texture>& source, const BufferSlice& destination,
              const VkBufferImageCopy& region);

    /// Debug groups and signposts, for tools that look on.
    enum class LabelKind : uint32_t { Push, Pop, Insert };
    void label(LabelKind kind, std::string_view name = {});

    /// Appends a copy of `other`'s commands. Wherever it binds `from[i]`, this list binds `to[i]`.
    /// What changes from one execution to the next is left to change where this is a template, too.
    void append(const CommandList& other, std::span<const std::shared_ptr<Resource>> from = {},
                std::span<const std::shared_ptr<Resource>> to = {});

    /// Where a list uses some resources, and what changes from one execution to the next: looked up
    /// once for a list that is included often.
    struct Uses {
        struct Use {
            uint32_t at, resource;
        };
        std::vector<Use> bindings, written;
        std::vector<uint32_t> refreshed; ///< commands
    };
    Uses usesOf(std::span<const std::shared_ptr<Resource>> resources) const;
    /// All commands of `other`, with resource i of `to` and then of `more` wherever `uses` knows
    /// resource i. They are not copied here but where the list is submitted, on another thread. The
    /// caller retains all that is given. `other` includes none itself.
    void include(const CommandList& other, const Uses& uses,
                 std::span<const std::shared_ptr<Resource>> to,
                 std::span<const std::shared_ptr<Resource>> more = {});
    bool includesOthers() const { return !included_.empty(); }
    /// Appends the commands of `other` and of all that it includes. Nothing is kept alive by it.
    void appendExpanded(const CommandList& other);

    /// Takes all of a template's commands; without copying them where there are none before.
    void take(CommandList& other);

    /// A dispatch that binds one range over several objects writes `resource` too.
    void alsoWrites(const std::shared_ptr<Resource>& resource) { noteWrite(resource); }
    /// Does not count as pending work what it writes there.
    void forgetWrites(std::span<const std::shared_ptr<Resource>> resources);
    /// What those who record have noted here, or in lists that were appended or taken. Resources
    /// that stand in for others are not noted.
    AddressFilter& noted() { return noted_; }
    /// What is recorded later leaves the commands before as they are: an update that follows does
    /// not share their dispatches.
    void seal() { sealed_ = commands_.size(); }
    size_t sealed() const { return sealed_; } ///< commands
    /// Keeps `object` alive until the commands are done.
    void retain(std::shared_ptr<const void> object) { retained_.push_back(std::move(object)); }

    bool empty() const { return commands_.empty(); }
    size_t dispatchCount() const { return dispatches_; }
    /// What commands read and write, each operand counted once.
    struct Traffic {
        uint64_t read = 0, written = 0;
    };
    Traffic traffic(size_t firstCommand, size_t lastCommand) const;
    /// Forgets everything, keeping the memory, and ends the pending writes.
    void clear();

    enum class Kind : uint8_t {
        Dispatch,
        DispatchIndirect,
        Copy,
        Fill,
        CopyToTexture,
        CopyFromTexture,
        Label,
        Included
    };
    struct Command {
        Kind kind;
        std::shared_ptr<Pipeline> pipeline;
        uint32_t firstBinding = 0, bindingCount = 0;
        uint32_t parameters = 0, parameterBytes = 0; ///< in bytes_
        uint32_t push = 0, pushBytes = 0;            ///< in bytes_
        std::array<uint32_t, 3> groups{}; ///< [0] of a fill: the word, of a label: the kind
        uint32_t extra = 0; ///< in textureRegions_, refreshes_ or included_ (1-based, 0: none)
        uint32_t room = 0;  ///< for the parameters where they are, if more than their bytes
    };
    std::span<const Command> commands() const { return commands_; }
    std::span<const Binding> bindings(const Command& c) const {
        return std::span(bindings_).subspan(c.firstBinding, c.bindingCount);
    }
    std::span<const std::byte> bytes(uint32_t offset, uint32_t size) const {
        return std::span(bytes_).subspan(offset, size);
    }
    const VkBufferImageCopy& textureRegion(const Command& c) const {
        return textureRegions_[c.extra - 1];
    }

private:
    struct Included {
        const CommandList* list;
        const Uses* uses;
        std::span<const std::shared_ptr<Resource>> to, more;
        uint32_t refreshed; ///< in bytes_: the parameters of uses->refreshed
        bool isRefreshed;
        const std::shared_ptr<Resource>& resource(uint32_t i) const {
            return i < to.size() ? to[i] : more[i - to.size()];
        }
    };
    /// Where the operands of another list begin in this one.
    struct Bases {
        uint32_t binding, byte, region;
    };
    template <class Hold, class ResourceAt>
    Bases copyOperands(const CommandList& other, const Uses& uses, Hold hold,
                       ResourceAt resourceAt);
    template <class Hold, class ResourceAt>
    void noteWritesOf(const CommandList& other, const Uses& uses, Hold hold, ResourceAt resourceAt);
    template <class Hold> void addCopy(const Command& command, const Bases& bases, Hold hold);
    void expand(const CommandList& owner, const Included& included);
    void refresh(Included& included);
    uint32_t addBytes(std::span<const std::byte> bytes);
    struct Spare;
    enum class Fresh { Memory };
    explicit CommandList(Fresh) {}
    void swapContents(CommandList& other);
    void addBindings(Command& command, std::span<Binding> bindings);
    void noteWrites(const Command& command);
    void noteWrite(const std::shared_ptr<Resource>& resource);
    void notePending(Resource& resource);

    std::vector<Command> commands_;
    std::vector<Binding> bindings_;
    std::vector<std::byte> bytes_;
    std::vector<VkBufferImageCopy> textureRegions_;
    std::vector<Refresh> refreshes_;
    std::vector<Included> included_;
    std::vector<std::shared_ptr<Resource>> written_;
    std::vector<std::shared_ptr<const void>> retained_;
    AddressFilter noted_;
    size_t dispatches_ = 0, sealed_ = 0;
    bool isTemplate_ = false;
};

/// Calls `visit(binding, reads, writes)` for every resource that a command touches.
template <class Visit>
void forEachAccess(const CommandList& list, const CommandList::Command& command, Visit&& visit) {
    using Kind = CommandList::Kind;
    auto bindings = list.bindings(command);
    switch (command.kind) {
    case Kind::DispatchIndirect:
        visit(bindings.back(), true, false); // the group counts
        bindings = bindings.first(bindings.size() - 1);
        [[fallthrough]];
    case Kind::Dispatch:
        for (const Binding& binding : bindings) {
            if (!binding.resource) continue;
            const auto& reflected = command.pipeline->reflection().bindings;
            const auto found =
                std::ranges::lower_bound(reflected, binding.number, {}, &ReflectedBinding::binding);
            if (found != reflected.end() && found->binding == binding.number)
                visit(binding, found->reads, found->writes);
        }
        break;
    case Kind::Fill: visit(bindings[0], false, true); break;
    case Kind::Label:
    case Kind::Included: break;
    default: visit(bindings[0], true, false); visit(bindings[1], false, true);
    }
}

} // namespace mpsvk::vk
