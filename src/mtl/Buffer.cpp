#include "mtl/Buffer.hpp"
#include "mtl/Heap.hpp"
#include "mtl/Object.hpp"

#include <mpsvk/Error.hpp>

namespace mpsvk::MTL {

void checkKnown(ResourceOptions options, const std::string& who) {
    const auto bits = uint64_t(options);
    if (bits >> 10 || (bits & 0xf) > 1 || (bits >> 4 & 0xf) > 3 || (bits >> 8 & 3) > 2)
        throw InvalidArgument(who + "resource options " + std::to_string(bits) +
                              " but the cache mode (bits 0 to 3) is at most 1, the storage mode "
                              "(4 to 7) at most 3 and hazard tracking (8 and 9) at most 2.");
}

Resource::Impl& Resource::impl() const {
    if (!impl_) throw InvalidArgument("[Resource] The resource handle is empty.");
    return static_cast<Impl&>(*impl_);
}

bool Resource::isKindOf(const detail::ObjectImpl& object) {
    return dynamic_cast<const Impl*>(&object) != nullptr;
}

std::string Resource::label() const {
    std::lock_guard lock(impl().mutex);
    return impl().label;
}

void Resource::setLabel(const std::string& label) const {
    std::lock_guard lock(impl().mutex);
    impl().label = label;
}

Device Resource::device() const { return impl().device; }
StorageMode Resource::storageMode() const { return storageModeOf(impl().options); }
CPUCacheMode Resource::cpuCacheMode() const { return CPUCacheMode(uint64_t(impl().options) & 0xf); }

HazardTrackingMode Resource::hazardTrackingMode() const {
    const auto mode = HazardTrackingMode((uint64_t(impl().options) >> 8) & 3);
    if (mode != HazardTrackingMode::Default) return mode;
    return impl().heap ? heap().hazardTrackingMode() : HazardTrackingMode::Tracked;
}

ResourceOptions Resource::resourceOptions() const { return impl().options; }
uint64_t Resource::allocatedSize() const { return impl().bytes(); }

PurgeableState Resource::setPurgeableState(PurgeableState state) const {
    std::lock_guard lock(impl().mutex);
    const PurgeableState before = impl().purgeable;
    if (state != PurgeableState::KeepCurrent) impl().purgeable = state;
    return before;
}

Heap Resource::heap() const {
    return impl().heap ? Heap(std::static_pointer_cast<Heap::Impl>(impl().heap)) : Heap();
}

uint64_t Resource::heapOffset() const { return impl().heapOffset; }

void Resource::makeAliasable() const {
    std::lock_guard lock(impl().mutex);
    if (!impl().heap)
        throw InvalidArgument(
            subject("Resource", impl().label) +
            "makeAliasable is for resources of a heap but this one is the device's.");
    if (!impl().aliasable && impl().releaseToHeap) impl().releaseToHeap();
    impl().aliasable = true;
}

bool Resource::isAliasable() const {
    std::lock_guard lock(impl().mutex);
    return impl().aliasable;
}

Buffer::Buffer(std::shared_ptr<Impl> impl) : Resource(std::move(impl)) {}

Buffer::Impl& Buffer::impl() const {
    if (!impl_) throw InvalidArgument("[Buffer] The buffer handle is empty.");
    return static_cast<Impl&>(*impl_);
}

bool Buffer::isKindOf(const detail::ObjectImpl& object) { return MTL::isA<Impl>(object); }

uint64_t Buffer::length() const { return impl().slice.size; }

std::span<std::byte> Buffer::contents() const {
    if (storageMode() == StorageMode::Private) return {};
    return {impl().slice.mapped(), size_t(impl().slice.size)};
}

void Buffer::didModifyRange(Range range) const {
    if (range.location > length() || range.length > length() - range.location)
        throw InvalidArgument(subject("Buffer", label()) + "didModifyRange was given " +
                              std::to_string(range.length) + " bytes from byte " +
                              std::to_string(range.location) + " on, of a buffer of " +
                              std::to_string(length()) + ".");
}

} // namespace mpsvk::MTL
