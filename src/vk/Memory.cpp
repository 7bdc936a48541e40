#include "vk/Memory.hpp"

#include "vk/Device.hpp"

#include <mpsvk/Error.hpp>

#include <algorithm>
#include <string>

namespace mpsvk::vk {

namespace {
constexpr VkDeviceSize blockSize = VkDeviceSize(32) << 20;
constexpr VkDeviceSize largestShared = blockSize / 4; // what is larger gets a VkBuffer of its own

} // namespace

/// One VkBuffer and the ranges that are taken in it.
class Block {
public:
    Block(Memory& memory, VkDeviceSize size, MemoryKind kind);
    ~Block();

    Memory& memory;
    VkBuffer handle = VK_NULL_HANDLE;
    VmaAllocation allocation = VK_NULL_HANDLE;
    VmaVirtualBlock ranges = VK_NULL_HANDLE;
    std::byte* mapped = nullptr;
    VkDeviceSize size = 0;
};

Block::Block(Memory& owner, VkDeviceSize bytes, MemoryKind kind) : memory(owner), size(bytes) {
    VkBufferCreateInfo info{VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO};
    info.size = bytes;
    info.usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_UNIFORM_BUFFER_BIT |
                 VK_BUFFER_USAGE_TRANSFER_SRC_BIT | VK_BUFFER_USAGE_TRANSFER_DST_BIT |
                 VK_BUFFER_USAGE_INDIRECT_BUFFER_BIT;
    VmaAllocationCreateInfo request{};
    request.preferredFlags = VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT;
    if (kind != MemoryKind::Device) {
        request.flags = VMA_ALLOCATION_CREATE_MAPPED_BIT;
        request.requiredFlags =
            VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
    }
    if (kind == MemoryKind::Readback) request.preferredFlags = VK_MEMORY_PROPERTY_HOST_CACHED_BIT;
    VmaAllocationInfo made{};
    const VkResult result =
        vmaCreateBuffer(owner.allocator_, &info, &request, &handle, &allocation, &made);
    check(result, "Allocating " + std::to_string(bytes) + " bytes of device memory");
    mapped = static_cast<std::byte*>(made.pMappedData);
    VmaVirtualBlockCreateInfo virtualInfo{};
    virtualInfo.size = bytes;
    check(vmaCreateVirtualBlock(&virtualInfo, &ranges), "Creating a virtual memory block");
    ++owner.blocksMade_;
    owner.bytes_ += bytes;
}

Block::~Block() {
    memory.bytes_ -= size;
    vmaDestroyVirtualBlock(ranges);
    vmaDestroyBuffer(memory.allocator_, handle, allocation);
}

Buffer::Buffer(std::shared_ptr<Block> block, VmaVirtualAllocation range, VkDeviceSize offset,
               VkDeviceSize size)
    : handle_(block->handle), offset_(offset), size_(size), memory_(this),
      mapped_(block->mapped ? block->mapped + offset : nullptr), block_(std::move(block)),
      range_(range) {}

Buffer::~Buffer() {
    if (!block_) return;
    std::lock_guard lock(block_->memory.mutex_);
    vmaVirtualFree(block_->ranges, range_);
}

BufferSlice whole(std::shared_ptr<Buffer> buffer) {
    const VkDeviceSize size = buffer->size();
    return {std::move(buffer), 0, size};
}

Memory::Memory(Device& device) : device_(device) {
    VmaVulkanFunctions functions{};
    functions.vkGetInstanceProcAddr = vkGetInstanceProcAddr;
    functions.vkGetDeviceProcAddr = vkGetDeviceProcAddr;
    VmaAllocatorCreateInfo info{};
    info.physicalDevice = device.physicalDevice();
    info.device = device.handle();
    info.instance = device.instance();
    info.vulkanApiVersion = VK_API_VERSION_1_1;
    info.pVulkanFunctions = &functions;
    check(vmaCreateAllocator(&info, &allocator_), "Creating the memory allocator");
}

Memory::~Memory() {
    for (auto& block : newest_) block.reset();
    vmaDestroyAllocator(allocator_);
}

VkDeviceSize Memory::largestHeap() const {
    const VkPhysicalDeviceMemoryProperties* properties = nullptr;
    vmaGetMemoryProperties(allocator_, &properties);
    VkDeviceSize most = 0;
    for (uint32_t i = 0; i < properties->memoryHeapCount; ++i)
        most = std::max(most, properties->memoryHeaps[i].size);
    return most;
}

std::shared_ptr<Block> Memory::makeBlock(VkDeviceSize size, MemoryKind kind) {
    return std::make_shared<Block>(*this, size, kind);
}

std::shared_ptr<Buffer> Memory::allocate(VkDeviceSize size, MemoryKind kind) {
    // A CPU or integrated device has one memory: mapping it costs nothing and saves every copy.
    if (device_.hasUnifiedMemory()) kind = MemoryKind::Shared;
    const VkDeviceSize rounded = taken(size);
    const auto take = [&](const std::shared_ptr<Block>& block) -> std::shared_ptr<Buffer> {
        VmaVirtualAllocationCreateInfo request{};
        request.size = rounded;
        request.alignment = alignment;
        request.flags = VMA_VIRTUAL_ALLOCATION_CREATE_STRATEGY_MIN_OFFSET_BIT;
        VmaVirtualAllocation range = VK_NULL_HANDLE;
        VkDeviceSize offset = 0;
        if (vmaVirtualAllocate(block->ranges, &request, &range, &offset) != VK_SUCCESS) return {};
        return std::make_shared<Buffer>(block, range, offset, size);
    };
    std::lock_guard lock(mutex_);
    if (rounded > largestShared) return take(makeBlock(rounded, kind));
    auto& blocks = blocks_[size_t(kind)];
    std::erase_if(blocks, [](const std::weak_ptr<Block>& block) { return block.expired(); });
    for (const auto& weak : blocks)
        if (const auto block = weak.lock())
            if (auto buffer = take(block)) return buffer;
    auto block = makeBlock(blockSize, kind);
    blocks.push_back(block);
    newest_[size_t(kind)] = block;
    return take(block);
}

} // namespace mpsvk::vk
