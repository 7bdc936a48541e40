// MTLHeap and MTLHeapDescriptor: one piece of device memory that many resources share.
#pragma once

#include <mpsvk/MTL/Resource.hpp>

namespace mpsvk::MTL {

enum class HeapType : uint64_t {
    Automatic = 0, ///< the heap finds the place of a resource
    Placement = 1, ///< the user gives the place; resources that overlap share memory
};

/// What a heap is to be like. MTLHeapDescriptor.
class HeapDescriptor {
public:
    /// Size 0, private storage, untracked, Automatic.
    HeapDescriptor() = default;

    uint64_t size() const { return size_; }
    void setSize(uint64_t v) { size_ = v; } ///< bytes
    HeapType type() const { return type_; }
    void setType(HeapType v) { type_ = v; }
    StorageMode storageMode() const { return storageMode_; }
    void setStorageMode(StorageMode v) { storageMode_ = v; }
    CPUCacheMode cpuCacheMode() const { return cpuCacheMode_; }
    void setCpuCacheMode(CPUCacheMode v) { cpuCacheMode_ = v; }
    /// Default means Untracked.
    HazardTrackingMode hazardTrackingMode() const { return hazardTrackingMode_; }
    void setHazardTrackingMode(HazardTrackingMode v) { hazardTrackingMode_ = v; }
    ResourceOptions resourceOptions() const;
    void setResourceOptions(ResourceOptions v);

private:
    uint64_t size_ = 0;
    HeapType type_ = HeapType::Automatic;
    StorageMode storageMode_ = StorageMode::Private;
    CPUCacheMode cpuCacheMode_ = CPUCacheMode::DefaultCache;
    HazardTrackingMode hazardTrackingMode_ = HazardTrackingMode::Default;
};

/// The memory of a resource is free again when the resource is: when its last handle is gone and
/// every command buffer that uses it is completed, or after makeAliasable(). The recorder orders
/// commands by the bytes that they touch, tracked or not, so that resources that share memory one
/// after the other are safe. Contents of a new resource are undefined.
///
/// A texture has memory of its own in Vulkan: it takes the bytes that it needs out of the heap's
/// books, but shares no memory with the heap's buffers. MTLHeap.
class Heap : public Object {
public:
    Heap() = default;
    std::string label() const;
    void setLabel(const std::string& label) const;
    Device device() const;
    HeapType type() const;
    StorageMode storageMode() const;
    CPUCacheMode cpuCacheMode() const;
    HazardTrackingMode hazardTrackingMode() const;
    ResourceOptions resourceOptions() const;
    uint64_t size() const;
    /// Bytes that resources hold; in a placement heap overlapping ones count each.
    uint64_t usedSize() const;
    /// Bytes of device memory: the heap's own and its textures'.
    uint64_t currentAllocatedSize() const;
    /// The largest buffer of that alignment (a power of two) that newBuffer can make now.
    uint64_t maxAvailableSize(uint64_t alignment) const;
    /// Keeps the contents whatever is asked; returns the state before.
    PurgeableState setPurgeableState(PurgeableState state) const;

    /// The storage and cache modes must be the heap's. Throws DeviceError when the heap is full,
    /// InvalidArgument in a placement heap.
    Buffer newBuffer(uint64_t length, ResourceOptions options) const;
    Texture newTexture(const TextureDescriptor& descriptor) const;
    /// At byte `offset` of a placement heap, a multiple of heapBufferSizeAndAlign's (or
    /// heapTextureSizeAndAlign's) alignment. Throws InvalidArgument in an automatic heap or when
    /// the resource would end behind the heap's end.
    Buffer newBuffer(uint64_t length, ResourceOptions options, uint64_t offset) const;
    Texture newTexture(const TextureDescriptor& descriptor, uint64_t offset) const;

    static bool isKindOf(const detail::ObjectImpl&);
    struct Impl;
    Impl& impl() const;
    explicit Heap(std::shared_ptr<Impl> impl);
};

} // namespace mpsvk::MTL
