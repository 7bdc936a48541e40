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
    ~TemporaryHeap();

    struct Range {
        vk::BufferSlice slice;
        VmaVirtualBlock block = nullptr;
        VmaVirtualAllocation allocation = nullptr;
        uint64_t generation = 0;
    };
    Range allocate(VkDeviceSize bytes);
    /// Does nothing for a range from before the last reset.
    void free(const Range& range);
    /// Frees whatever is still taken: the objects of a completed command buffer are void.
    void reset();
    uint64_t bytes() const;
    uint64_t peakBytes() const;

private:
    struct Chunk {
        std::shared_ptr<vk::Buffer> buffer;
        VmaVirtualBlock ranges = nullptr;
    };
    std::shared_ptr<vk::Device> device_;
    mutable std::mutex mutex_;
    std::vector<Chunk> chunks_;
    uint64_t used_ = 0, peak_ = 0, generation_ = 0;
};

/// The heap of a command buffer, taken from the device's cache at first use and given back to it
/// when the command buffer is completed.
std::shared_ptr<TemporaryHeap> temporaryHeap(const MTL::CommandBuffer& commandBuffer);

} // namespace mpsvk::mps
