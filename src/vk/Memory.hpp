// Device memory: big VkBuffers, cut up by VulkanMemoryAllocator's virtual blocks.
//
// Many small objects share one VkBuffer on purpose: objects made one after the other lie at equal
// distances, so that one dispatch can walk over them (see mps/ImageRun.hpp).
#pragma once

#include "vk/Rounding.hpp"
#include "vk/Vulkan.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

namespace mpsvk::vk {

class Device;

enum class MemoryKind {
    Device,   ///< the GPU's own memory
    Shared,   ///< mapped for the host for as long as it lives; the GPU's own where the driver can
    Readback, ///< mapped, and cached by the host: for what the GPU writes and the host reads
};

/// What a command can touch and the recorder keeps apart: a range of a VkBuffer, or a texture.
class Resource {
public:
    virtual ~Resource() = default;
    /// True while a command buffer that writes this resource is not completed.
    bool hasPendingWrites() const { return pendingWrites_.load(std::memory_order_acquire) != 0; }

private:
    friend class CommandList;
    std::atomic<uint32_t> pendingWrites_{0};
};

class Block;

/// A range of a VkBuffer that belongs to one object. Freed with its last reference.
class Buffer : public Resource {
public:
    Buffer(std::shared_ptr<Block> block, VmaVirtualAllocation range, VkDeviceSize offset,
           VkDeviceSize size);
    /// A VkBuffer of the user's: its lifetime is theirs.
    Buffer(VkBuffer handle, VkDeviceSize size, std::byte* mapped)
        : handle_(handle), size_(size), mapped_(mapped) {}
    /// A part of another one, which it keeps.
    Buffer(std::shared_ptr<Buffer> whole, VkDeviceSize offset, VkDeviceSize size)
        : handle_(whole->handle_), offset_(whole->offset_ + offset), size_(size),
          memory_(whole->memory_), mapped_(whole->mapped_ ? whole->mapped_ + offset : nullptr),
          whole_(std::move(whole)) {}
    ~Buffer() override;
    Buffer(const Buffer&) = delete;

    VkBuffer handle() const { return handle_; }
    VkDeviceSize offset() const { return offset_; }
    VkDeviceSize size() const { return size_; }
    std::byte* mapped() const { return mapped_; } ///< null when the host cannot reach it
    /// The same for all buffers that have bytes in common. Null for a VkBuffer of the user's, which
    /// may be anyone's.
    const void* memory() const { return memory_; }

private:
    // What each use reads comes first.
    VkBuffer handle_ = VK_NULL_HANDLE;
    VkDeviceSize offset_ = 0, size_ = 0;
    const void* memory_ = nullptr;
    std::byte* mapped_ = nullptr;
    std::shared_ptr<Block> block_;
    std::shared_ptr<Buffer> whole_;
    VmaVirtualAllocation range_ = VK_NULL_HANDLE;
};

/// A part of a buffer; `offset` counts from the buffer's own start.
struct BufferSlice {
    std::shared_ptr<Buffer> buffer;
    VkDeviceSize offset = 0;
    VkDeviceSize size = 0;

    explicit operator bool() const { return buffer != nullptr; }
    VkDeviceSize begin() const { return buffer->offset() + offset; } ///< within the VkBuffer
    VkDeviceSize end() const { return begin() + size; }
    std::byte* mapped() const { return buffer->mapped() ? buffer->mapped() + offset : nullptr; }
};

BufferSlice whole(std::shared_ptr<Buffer> buffer);

class Memory {
public:
    explicit Memory(Device& device);
    ~Memory();

    /// Contents undefined. Alignment 256 bytes. Throws DeviceError when there is no memory.
    std::shared_ptr<Buffer> allocate(VkDeviceSize size, MemoryKind kind);
    /// VkBuffers made so far; a training step must not raise it.
    uint64_t blockCount() const { return blocksMade_; }
    /// Of objects that there are, textures among them.
    uint64_t bytesAllocated() const { return bytes_; }
    VmaAllocator allocator() const { return allocator_; }
    /// Bytes of the largest memory that the device has.
    VkDeviceSize largestHeap() const;

    static constexpr VkDeviceSize alignment = 256;
    /// What an allocation of `size` bytes takes: whole units of the alignment, at least one.
    static constexpr VkDeviceSize taken(VkDeviceSize size) {
        return roundUp(size > 0 ? size : 1, alignment);
    }

private:
    friend class Block;
    friend class Buffer;
    friend class Texture;
    std::shared_ptr<Block> makeBlock(VkDeviceSize size, MemoryKind kind);

    Device& device_;
    VmaAllocator allocator_ = VK_NULL_HANDLE;
    std::mutex mutex_;
    std::vector<std::weak_ptr<Block>> blocks_[3];
    std::shared_ptr<Block> newest_[3]; // kept, so that one object coming and going costs nothing
    std::atomic<uint64_t> blocksMade_{0}, bytes_{0};
};

} // namespace mpsvk::vk
