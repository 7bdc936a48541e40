#include "mps/TemporaryHeap.hpp"

#include "vk/Device.hpp"

#include <mpsvk/Error.hpp>

#include <algorithm>
#include <chrono>
#include <limits>

namespace mpsvk::mps {

namespace {

constexpr VkDeviceSize smallestChunk = VkDeviceSize(8) << 20;
/// No chunk is larger, unless for something that is: every device allocates so much at once.
constexpr VkDeviceSize largestChunk = VkDeviceSize(1) << 30;

double now() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch())
        .count();
}

/// Heaps that no command buffer uses at the moment.
struct HeapCache : detail::ObjectImpl {
    struct Entry {
        std::shared_ptr<TemporaryHeap> heap;
        double until = 0; ///< seconds, as `now` counts them
    };
    std::mutex mutex;
    std::vector<Entry> free;

    /// Takes out what nobody has used for too long. The caller destroys it without the lock.
    std::vector<Entry> takeExpired() {
        const auto kept = std::stable_partition(
            free.begin(), free.end(), [time = now()](const Entry& e) { return e.until > time; });
        std::vector<Entry> expired(std::make_move_iterator(kept),
                                   std::make_move_iterator(free.end()));
        free.erase(kept, free.end());
        return expired;
    }
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
    double cacheSeconds = std::numeric_limits<double>::infinity();
    ~HeapLease() override {
        if (!cache) return;
        heap->reset();
        std::vector<HeapCache::Entry> expired;
        std::lock_guard lock(cache->mutex);
        cache->free.push_back({std::move(heap), now() + cacheSeconds});
        expired = cache->takeExpired();
    }
};

HeapLease& leaseOf(const MTL::CommandBuffer& commandBuffer) {
    auto& buffer = commandBuffer.impl();
    buffer.encoderList({}); // refuses a committed one
    if (buffer.temporaries) return static_cast<HeapLease&>(*buffer.temporaries);
    auto& device = buffer.device.impl();
    const auto cache = cacheOf(device);
    auto lease = std::make_shared<HeapLease>();
    lease->cache = cache;
    std::vector<HeapCache::Entry> expired;
    {
        std::lock_guard lock(cache->mutex);
        if (!cache->free.empty()) {
            lease->heap = std::move(cache->free.back().heap);
            cache->free.pop_back();
        }
        expired = cache->takeExpired();
    }
    if (!lease->heap) lease->heap = std::make_shared<TemporaryHeap>(device.vk);
    buffer.temporaries = lease;
    return *lease;
}

} // namespace

TemporaryHeap::~TemporaryHeap() {
    for (Chunk& chunk : chunks_) {
        vmaClearVirtualBlock(chunk.ranges);
        vmaDestroyVirtualBlock(chunk.ranges);
    }
}

TemporaryHeap::Range TemporaryHeap::allocate(VkDeviceSize bytes) {
    if (const VkDeviceSize most = device_->memory().largestHeap(); bytes > most)
        throw DeviceError("[CommandBuffer] Temporary memory of " + std::to_string(bytes) +
                          " bytes was asked for but the device has " + std::to_string(most) +
                          " (VK_ERROR_OUT_OF_DEVICE_MEMORY).");
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
    const VkDeviceSize size =
        std::max(rounded, std::min(std::max<VkDeviceSize>(smallestChunk, total), largestChunk));
    Chunk chunk;
    try {
        chunk.buffer = device_->memory().allocate(size, vk::MemoryKind::Device);
    } catch (const DeviceError&) {
        if (size == rounded) throw;
        chunk.buffer = device_->memory().allocate(rounded, vk::MemoryKind::Device);
    }
    VmaVirtualBlockCreateInfo info{};
    info.size = chunk.buffer->size();
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
    return leaseOf(commandBuffer).heap;
}

void setHeapCacheDuration(const MTL::CommandBuffer& commandBuffer, double seconds) {
    leaseOf(commandBuffer).cacheSeconds = seconds > 0 ? seconds : 0; // NaN, too
}

void setTemporaryHeap(const MTL::CommandBuffer& commandBuffer,
                      std::shared_ptr<TemporaryHeap> heap) {
    auto lease = std::make_shared<HeapLease>();
    lease->heap = std::move(heap);
    commandBuffer.impl().temporaries = std::move(lease);
}

} // namespace mpsvk::mps
