// MTLDevice: a GPU, and the maker of everything that lives on it.
#pragma once

#include <mpsvk/MTL/Types.hpp>
#include <mpsvk/Object.hpp>

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace mpsvk::MTL {

class Buffer;
class CommandQueue;
class ComputePipelineState;
class Event;
class Fence;
class Function;
class Heap;
class HeapDescriptor;
class Library;
class SharedEvent;
class Texture;
class TextureDescriptor;

/// A Vulkan device with a queue for compute; an empty handle stands for none. MTLDevice.
class Device : public Object {
public:
    std::string name() const;
    uint64_t registryID() const;
    Size maxThreadsPerThreadgroup() const;
    uint64_t maxThreadgroupMemoryLength() const;
    uint64_t maxBufferLength() const;
    uint64_t recommendedMaxWorkingSetSize() const;
    uint64_t currentAllocatedSize() const;
    bool hasUnifiedMemory() const;
    bool isLowPower() const;
    bool isHeadless() const;
    bool isRemovable() const;

    /// Which formats a shader may read and write in one texture: Tier1 those of one 32-bit channel,
    /// Tier2 all that it can write.
    ReadWriteTextureTier readWriteTextureSupport() const;

    CommandQueue newCommandQueue() const;
    /// A queue that makes its user wait rather than hold more than `maxCommandBufferCount`
    /// uncompleted command buffers. Throws InvalidArgument for 0.
    CommandQueue newCommandQueue(uint64_t maxCommandBufferCount) const;

    /// Zero-filled. Throws InvalidArgument for a length of 0, memoryless storage and unknown
    /// options, DeviceError when there is no memory or the length is above maxBufferLength().
    Buffer newBuffer(uint64_t length,
                     ResourceOptions options = ResourceOptions::StorageModeShared) const;
    /// A copy of `bytes`. Throws InvalidArgument for private storage.
    Buffer newBuffer(std::span<const std::byte> bytes,
                     ResourceOptions options = ResourceOptions::StorageModeShared) const;
    Texture newTexture(const TextureDescriptor& descriptor) const;
    /// Throws InvalidArgument for a size of 0 or managed or memoryless storage, DeviceError when
    /// there is no memory.
    Heap newHeap(const HeapDescriptor& descriptor) const;
    /// What a buffer or texture takes in a heap of this device.
    SizeAndAlign heapBufferSizeAndAlign(uint64_t length, ResourceOptions options) const;
    SizeAndAlign heapTextureSizeAndAlign(const TextureDescriptor& descriptor) const;
    Event newEvent() const;
    SharedEvent newSharedEvent() const;
    Fence newFence() const;

    /// Compiles GLSL 4.50 compute source. Throws DeviceError with the compiler's message, when the
    /// library was built without a GLSL compiler, or as below.
    Library newLibrary(const std::string& glslSource) const;
    /// Takes SPIR-V. Throws DeviceError when it is not a compute shader, or needs what the device
    /// was not opened with: 8-bit numbers, 8- or 16-bit storage, 64-bit atomics; 16-bit floats
    /// unless it has cooperative matrices; 16- or 64-bit integers and 64-bit floats where it lacks
    /// them.
    Library newLibrary(std::span<const uint32_t> spirv) const;
    ComputePipelineState newComputePipelineState(const Function& function) const;

    static bool isKindOf(const detail::ObjectImpl&);
    struct Impl;
    Impl& impl() const;

private:
    friend struct Impl;
    explicit Device(std::shared_ptr<Impl>);

public:
    Device() = default;
};

/// The first device of CopyAllDevices(), or the one that the environment variable MPSVK_DEVICE
/// names (its index there, or a part of its name). Throws DeviceError when there is none.
Device CreateSystemDefaultDevice();

/// Every device that has a compute queue and Vulkan 1.1: discrete GPUs first, then integrated,
/// virtual and CPU ones. Asking again gives the same objects.
std::vector<Device> CopyAllDevices();

} // namespace mpsvk::MTL
