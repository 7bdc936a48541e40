// The memory behind temporary images, states and matrices of one command buffer. What is freed is
// taken again by the next allocation; the recorder's hazards keep old and new users apart.
#pragma once

#include "mtl/CommandBuffer.hpp"
#include "vk/Memory.hpp"

#include <memory>
#include <mutex>
#include <vector>

namespace mpsvk::mps {

class TemporaryHeap {
public:
    explicit TemporaryHeap(std::shared_ptr<vk::Device> device) : device_(std::move(device)) {}
    virtual ~TemporaryHeap();
    TemporaryHeap(const TemporaryHeap&) = delete;

    struct Range {
        vk::BufferSlice slice;
        VmaVirtualBlock block = nullptr;
        VmaVirtualAllocation allocation = VK_NULL_HANDLE;
        uint64_t generation = 0;
        explicit operator bool() const { return bool(slice); }
    };
    virtual Range allocate(VkDeviceSize bytes);
    /// Does nothing for a range from before the last reset.
    virtual void free(const Range& range);
    /// Frees whatever is still taken: the objects of a completed command buffer are void.
    virtual void reset();

private:
    struct Chunk {
        std::shared_ptr<vk::Buffer> buffer;
        VmaVirtualBlock ranges = nullptr;
    };
    std::shared_ptr<vk::Device> device_;
    mutable std::mutex mutex_;
    std::vector<Chunk> chunks_;
    uint64_t generation_ = 0;
};

/// The heap of a command buffer, taken from the device's cache at first use and given back to it
/// when the command buffer is completed. Throws InvalidArgument for a committed command buffer.
std::shared_ptr<TemporaryHeap> temporaryHeap(const MTL::CommandBuffer& commandBuffer);
/// How many seconds the cache keeps the command buffer's heap while nobody uses it.
void setHeapCacheDuration(const MTL::CommandBuffer& commandBuffer, double seconds);
/// Gives it another one, which does not return to the cache.
void setTemporaryHeap(const MTL::CommandBuffer& commandBuffer, std::shared_ptr<TemporaryHeap> heap);

} // namespace mpsvk::mps
