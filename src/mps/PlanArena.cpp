#include "mps/PlanArena.hpp"

#include "vk/Device.hpp"

#include <algorithm>

namespace mpsvk::mps {

namespace {

constexpr uint64_t least = uint64_t(1) << 30; // what every device gives in one piece

VkDeviceSize largestAllocation(VkPhysicalDevice device) {
    VkPhysicalDeviceMaintenance3Properties memory{
        VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_3_PROPERTIES};
    VkPhysicalDeviceProperties2 all{VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2, &memory, {}};
    vkGetPhysicalDeviceProperties2(device, &all);
    return memory.maxMemoryAllocationSize;
}

} // namespace

std::optional<size_t> PlanHeap::now() const {
    const auto recording = recording_.lock();
    if (!recording) return std::nullopt;
    return recording->segments.back()->commands.commands().size();
}

TemporaryHeap::Range PlanHeap::allocate(VkDeviceSize bytes) {
    std::lock_guard lock(mutex_);
    // Runs of images are told apart by their VkBuffer: each gets a handle of its own. None is ever
    // given to Vulkan, and being odd none is that of an object.
    const auto handle = (VkBuffer)(uintptr_t)(2 * buffers_.size() + 1);
    auto buffer = std::make_shared<vk::Buffer>(handle, bytes, nullptr);
    Range range;
    range.slice = vk::whole(buffer);
    buffers_.push_back(std::move(buffer));
    tenants_.push_back({vk::Memory::taken(bytes), now().value_or(0), SIZE_MAX, 0});
    return range;
}

void PlanHeap::free(const Range& range) {
    std::lock_guard lock(mutex_);
    const auto end = now();
    const auto found = std::ranges::find(buffers_, range.slice.buffer);
    if (end && found != buffers_.end()) tenants_[size_t(found - buffers_.begin())].end = *end;
}

void PlanHeap::finish() {
    std::lock_guard lock(mutex_);
    const size_t end = now().value_or(0);
    for (Tenant& tenant : tenants_) tenant.end = std::min(tenant.end, end);
    recording_.reset();
}

void PlanHeap::giveUp(const std::shared_ptr<vk::Resource>& buffer) {
    std::lock_guard lock(mutex_);
    const auto found = std::ranges::find(buffers_, buffer);
    if (found == buffers_.end()) return;
    tenants_.erase(tenants_.begin() + (found - buffers_.begin()));
    buffers_.erase(found);
}

PlanArena::PlanArena(std::shared_ptr<vk::Device> device)
    : device_(std::move(device)),
      chunkBytes_(std::max<uint64_t>(largestAllocation(device_->physicalDevice()), least) /
                  vk::Memory::alignment * vk::Memory::alignment) {}

std::shared_ptr<const PlanArena::Memory> PlanArena::memory(uint64_t bytes, uint64_t chunk) {
    std::lock_guard lock(mutex_);
    auto& memory = memories_[chunk];
    if (memory && memory->bytes >= bytes) return memory;
    auto made = std::make_shared<Memory>();
    made->bytes = bytes;
    for (uint64_t at = 0; at < bytes; at += chunk)
        made->chunks.push_back(
            device_->memory().allocate(std::min(chunk, bytes - at), vk::MemoryKind::Device));
    return memory = made;
}

uint64_t PlanArena::bytes() const {
    std::lock_guard lock(mutex_);
    uint64_t sum = 0;
    for (const auto& [chunk, memory] : memories_) sum += memory->bytes;
    return sum;
}

std::shared_ptr<PlanArena> planArena(const MTL::CommandBuffer& commandBuffer) {
    static std::mutex mutex;
    auto& slot = commandBuffer.commandQueue().impl().planArena;
    std::lock_guard lock(mutex);
    if (!slot) slot = std::make_shared<PlanArena>(commandBuffer.device().impl().vk);
    return std::static_pointer_cast<PlanArena>(slot);
}

} // namespace mpsvk::mps
