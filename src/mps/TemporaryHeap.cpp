#include "mps/TemporaryHeap.hpp"

#include "vk/Device.hpp"

#include <algorithm>

namespace mpsvk::mps {

namespace {

constexpr VkDeviceSize smallestChunk = VkDeviceSize(8) << 20;

/// Heaps that no command buffer uses at the moment.
struct HeapCache : detail::ObjectImpl {
    std::mutex mutex;
    std::vector<std::shared_ptr<TemporaryHeap>> free;
};

std::mutex cacheMutex;

std::shared_ptr<HeapCache> cacheOf(MTL::Device::Impl& device) {
    std::lock_guard lock(cacheMutex);
    if (!device.heapCache) device.heapCache = std::make_shared<HeapCache>();
    return std::static_pointer_cast<HeapCache>(device.heapCache);
}

/// What a command buffer holds: its heap, which returns to the cache, if it has one, with this.
struct HeapLease : detail::ObjectImpl {
    std::shared_ptr<HeapCache> cache;
    std::shared_ptr<TemporaryHeap> heap;
    ~HeapLease() override {
        if (!cache) return;
        heap->reset();
        std::lock_guard lock(cache->mutex);
        cache->free.push_back(std::move(heap));
    }
};

} // namespace

TemporaryHeap::~TemporaryHeap() {
    for (Chunk& chunk : chunks_) {
        vmaClearVirtualBlock(chunk.ranges);
        vmaDestroyVirtualBlock(chunk.ranges);
    }
}

TemporaryHeap::Range TemporaryHeap::allocate(VkDeviceSize bytes) {
    const VkDeviceSize rounded = vk::Memory::taken(bytes);
    VmaVirtualAllocationCreateInfo request{};
    request.size = rounded;
    request.alignment = vk::Memory::alignment;
    request.flags = VMA_VIRTUAL_ALLOCATION_CREATE_STRATEGY_MIN_OFFSET_BIT;
    const auto take = [&](Chunk& chunk, Range& range) {
        VkDeviceSize offset = 0;
        if (vmaVirtualAllocate(chunk.ranges, &request, &range.allocation, &offset) != VK_SUCCESS)
            return false;
        range.block = chunk.ranges;
        range.slice = {chunk.buffer, offset, bytes};
        range.generation = generation_;
        return true;
    };
    std::lock_guard lock(mutex_);
    Range range;
    for (Chunk& chunk : chunks_)
        if (take(chunk, range)) return range;
    uint64_t total = 0;
    for (const Chunk& chunk : chunks_) total += chunk.buffer->size();
    // Each chunk doubles what there is, so that a growing program needs few of them.
    const VkDeviceSize size = std::max({rounded, smallestChunk, VkDeviceSize(total)});
    Chunk chunk;
    chunk.buffer = device_->memory().allocate(size, vk::MemoryKind::Device);
    VmaVirtualBlockCreateInfo info{};
    info.size = size;
    vk::check(vmaCreateVirtualBlock(&info, &chunk.ranges), "Creating a virtual memory block");
    chunks_.push_back(chunk);
    take(chunks_.back(), range);
    return range;
}

void TemporaryHeap::free(const Range& range) {
    std::lock_guard lock(mutex_);
    if (range.generation != generation_) return;
    vmaVirtualFree(range.block, range.allocation);
}

void TemporaryHeap::reset() {
    std::lock_guard lock(mutex_);
    ++generation_;
    for (Chunk& chunk : chunks_) vmaClearVirtualBlock(chunk.ranges);
}

std::shared_ptr<TemporaryHeap> temporaryHeap(const MTL::CommandBuffer& commandBuffer) {
    auto& buffer = commandBuffer.impl();
    if (buffer.temporaries) return std::static_pointer_cast<HeapLease>(buffer.temporaries)->heap;
    auto& device = buffer.device.impl();
    const auto cache = cacheOf(device);
    auto lease = std::make_shared<HeapLease>();
    lease->cache = cache;
    {
        std::lock_guard lock(cache->mutex);
        if (!cache->free.empty()) {
            lease->heap = std::move(cache->free.back());
            cache->free.pop_back();
        }
    }
    if (!lease->heap) lease->heap = std::make_shared<TemporaryHeap>(device.vk);
    buffer.temporaries = lease;
    return lease->heap;
}

void setTemporaryHeap(const MTL::CommandBuffer& commandBuffer,
                      std::shared_ptr<TemporaryHeap> heap) {
    auto lease = std::make_shared<HeapLease>();
    lease->heap = std::move(heap);
    commandBuffer.impl().temporaries = std::move(lease);
}

} // namespace mpsvk::mps
