// The object behind MTL::Resource.
#pragma once

#include "mtl/Device.hpp"
#include "vk/Memory.hpp"

#include <mpsvk/MTL/Resource.hpp>

#include <functional>
#include <mutex>

namespace mpsvk::MTL {

struct Resource::Impl : detail::ObjectImpl {
    Impl(Device device, ResourceOptions options) : device(std::move(device)), options(options) {}
    virtual uint64_t bytes() const = 0;

    const Device device; // first, so that it goes last
    const ResourceOptions options;
    mutable std::mutex mutex;
    std::string label;
    PurgeableState purgeable = PurgeableState::NonVolatile;
    std::shared_ptr<detail::ObjectImpl> heap; ///< an MTL::Heap's object, if it came from one
    uint64_t heapOffset = 0;
    std::function<void()> releaseToHeap; ///< what makeAliasable does, in a heap
    bool aliasable = false;
};

/// Throws InvalidArgument for values that none of the options' enumerations has.
void checkKnown(ResourceOptions options, const std::string& who);

} // namespace mpsvk::MTL
