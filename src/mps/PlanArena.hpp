// Where the plans of a queue keep their temporaries: they run one after the other, and so all of
// them use the same memory.
#pragma once

#include "mps/Placement.hpp"
#include "mps/TemporaryHeap.hpp"

#include <map>
#include <optional>

namespace mpsvk::mps {

/// Stands in for memory while a plan is recorded: every allocation is a buffer of its own, without
/// memory, that must be there for as long as the commands between its making and its freeing run.
class PlanHeap : public TemporaryHeap {
public:
    PlanHeap(std::shared_ptr<vk::Device> device, std::weak_ptr<MTL::CommandBuffer::Impl> recording)
        : TemporaryHeap(std::move(device)), recording_(std::move(recording)) {}
    Range allocate(VkDeviceSize bytes) override;
    void free(const Range& range) override;
    void reset() override {}
    /// No more commands come: what is not freed lives to their end.
    void finish();
    /// A buffer that something else takes the place of: it needs none in the arena.
    void giveUp(const std::shared_ptr<vk::Resource>& buffer);

    std::span<const std::shared_ptr<vk::Resource>> buffers() const { return buffers_; }
    std::span<Tenant> tenants() { return tenants_; }

private:
    /// Commands so far; nothing when no more come.
    std::optional<size_t> now() const;

    std::mutex mutex_;
    std::weak_ptr<MTL::CommandBuffer::Impl> recording_; // which holds this
    std::vector<std::shared_ptr<vk::Resource>> buffers_;
    std::vector<Tenant> tenants_;
};

/// The memory of a queue's plans.
class PlanArena : public detail::ObjectImpl {
public:
    explicit PlanArena(std::shared_ptr<vk::Device> device);
    struct Memory {
        std::vector<std::shared_ptr<vk::Buffer>> chunks;
        uint64_t bytes = 0;
    };
    /// The size of the pieces that the memory is made of, for something of that size.
    uint64_t chunkBytes(uint64_t largest) const { return std::max(chunkBytes_, largest); }
    /// At least that much, in such pieces: the same for all until one asks for more than there is.
    std::shared_ptr<const Memory> memory(uint64_t bytes, uint64_t chunk);
    uint64_t bytes() const;

private:
    const std::shared_ptr<vk::Device> device_;
    const uint64_t chunkBytes_;
    mutable std::mutex mutex_;
    std::map<uint64_t, std::shared_ptr<const Memory>> memories_; ///< by the size of the pieces
};

/// That of the command buffer's queue.
std::shared_ptr<PlanArena> planArena(const MTL::CommandBuffer& commandBuffer);

} // namespace mpsvk::mps
