// MTLResource: what buffers and textures have in common.
#pragma once

#include <mpsvk/MTL/Device.hpp>

namespace mpsvk::MTL {

/// What buffers and textures have in common. MTLResource.
class Resource : public Object {
public:
    std::string label() const;
    void setLabel(const std::string& label) const;
    Device device() const;
    StorageMode storageMode() const;
    CPUCacheMode cpuCacheMode() const;
    /// Never Default: Tracked for a device's resources, the heap's own mode for a heap's.
    HazardTrackingMode hazardTrackingMode() const;
    ResourceOptions resourceOptions() const;
    /// Bytes of device memory behind it; 0 for a view.
    uint64_t allocatedSize() const;
    /// Keeps the contents whatever is asked; returns the state before.
    PurgeableState setPurgeableState(PurgeableState state) const;
    Heap heap() const;
    uint64_t heapOffset() const;
    /// Lets later allocations of the heap reuse this resource's memory. Only for heap resources.
    void makeAliasable() const;
    bool isAliasable() const;

    static bool isKindOf(const detail::ObjectImpl&);
    struct Impl;
    Impl& impl() const;

protected:
    using Object::Object;
};

} // namespace mpsvk::MTL
