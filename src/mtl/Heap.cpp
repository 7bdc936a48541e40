#include "mtl/Heap.hpp"

#include "mtl/Buffer.hpp"
#include "mtl/Texture.hpp"

#include <mpsvk/Error.hpp>

#include <algorithm>

namespace mpsvk::MTL {

ResourceOptions HeapDescriptor::resourceOptions() const {
    return ResourceOptions(uint64_t(cpuCacheMode_) | uint64_t(storageMode_) << 4 |
                           uint64_t(hazardTrackingMode_) << 8);
}

void HeapDescriptor::setResourceOptions(ResourceOptions v) {
    cpuCacheMode_ = CPUCacheMode(uint64_t(v) & 0xf);
    storageMode_ = storageModeOf(v);
    hazardTrackingMode_ = HazardTrackingMode(uint64_t(v) >> 8); // with unknown bits, to be refused
}

class Heap::Impl::Claim {
public:
    Claim(std::shared_ptr<Impl> heap, uint64_t offset, uint64_t size)
        : heap_(std::move(heap)), offset_(offset), size_(size) {}
    ~Claim() {
        release();
        if (texture) {
            std::lock_guard lock(heap_->mutex);
            heap_->textureBytes -= texture->allocatedSize();
        }
    }
    Claim(const Claim&) = delete;

    void release() {
        std::lock_guard lock(heap_->mutex);
        if (released_) return;
        released_ = true;
        heap_->used -= size_;
        if (heap_->descriptor.type() == HeapType::Automatic) heap_->taken.erase(offset_);
    }
    uint64_t offset() const { return offset_; }
    const std::shared_ptr<Impl>& heap() const { return heap_; }
    std::shared_ptr<vk::Texture> texture;

private:
    std::shared_ptr<Impl> heap_;
    uint64_t offset_, size_;
    bool released_ = false;
};

std::string Heap::Impl::who() const {
    std::lock_guard lock(mutex);
    return subject("Heap", label);
}

std::shared_ptr<Heap::Impl::Claim> Heap::Impl::claim(uint64_t size, uint64_t alignment,
                                                     std::optional<uint64_t> offset,
                                                     const std::string& what) {
    const std::string sentence = who() + what;
    const bool automatic = descriptor.type() == HeapType::Automatic;
    if (automatic == offset.has_value())
        throw InvalidArgument(sentence + (automatic
                                              ? " was given an offset but the heap is automatic."
                                              : " needs an offset: the heap is a placement heap."));
    const uint64_t heapSize = descriptor.size();
    std::lock_guard lock(mutex);
    if (!automatic) {
        if (*offset % alignment)
            throw InvalidArgument(sentence + " was given offset " + std::to_string(*offset) +
                                  " but it must be a multiple of " + std::to_string(alignment) +
                                  ".");
        if (*offset > heapSize || size > heapSize - *offset)
            throw InvalidArgument(sentence + " was given " + std::to_string(size) +
                                  " bytes at offset " + std::to_string(*offset) + " of a heap of " +
                                  std::to_string(heapSize) + ".");
    } else {
        uint64_t begin = 0;
        for (const auto& [takenBegin, takenEnd] : taken) {
            if (begin + size <= takenBegin) break;
            begin = vk::roundUp(takenEnd, alignment);
        }
        if (begin + size > heapSize)
            throw DeviceError(sentence + " needs " + std::to_string(size) +
                              " bytes in one piece but the heap of " + std::to_string(heapSize) +
                              " bytes has " + std::to_string(used) +
                              " in use (VK_ERROR_OUT_OF_DEVICE_MEMORY).");
        taken[begin] = begin + size;
        offset = begin;
    }
    used += size;
    return std::make_shared<Claim>(shared_from_this(), *offset, size);
}

ResourceOptions Heap::Impl::checkOptions(ResourceOptions options, const std::string& what) const {
    const uint64_t cacheAndStorage = 0xff;
    if ((uint64_t(options) ^ uint64_t(descriptor.resourceOptions())) & cacheAndStorage)
        throw InvalidArgument(who() + what + " was given storage mode " +
                              std::to_string(uint64_t(storageModeOf(options))) +
                              " and cache mode " + std::to_string(uint64_t(options) & 0xf) +
                              " but the heap has " +
                              std::to_string(uint64_t(descriptor.storageMode())) + " and " +
                              std::to_string(uint64_t(descriptor.cpuCacheMode())) + ".");
    return options;
}

void Heap::Impl::adopt(Resource::Impl& resource, const std::shared_ptr<Claim>& claim) {
    resource.heap = shared_from_this();
    resource.heapOffset = claim->offset();
    resource.releaseToHeap = [weak = std::weak_ptr(claim)] {
        if (const auto held = weak.lock()) held->release();
    };
}

Buffer Heap::Impl::newBuffer(uint64_t length, ResourceOptions options,
                             std::optional<uint64_t> offset) {
    checkKnown(options, who() + "newBuffer was given ");
    checkOptions(options, "newBuffer");
    if (length == 0) throw InvalidArgument(who() + "newBuffer was given a length of 0 bytes.");
    if (length > device.maxBufferLength())
        throw DeviceError(who() + "newBuffer was given a length of " + std::to_string(length) +
                          " bytes but the device's limit is " +
                          std::to_string(device.maxBufferLength()) +
                          " (VK_ERROR_OUT_OF_DEVICE_MEMORY).");
    const auto held = claim(vk::roundUp(length, vk::Memory::alignment), vk::Memory::alignment,
                            offset, "newBuffer");
    // Whoever holds the bytes, a handle or a command list, holds the claim with them.
    const std::shared_ptr<vk::Buffer> all(held, memory.get());
    const auto bytes = std::make_shared<vk::Buffer>(all, held->offset(), length);
    auto made = std::make_shared<Buffer::Impl>(device, options, vk::whole(bytes));
    adopt(*made, held);
    return Buffer(std::move(made));
}

Texture Heap::Impl::newTexture(const TextureDescriptor& wanted, std::optional<uint64_t> offset) {
    checkDescriptor(wanted, who());
    checkOptions(wanted.resourceOptions(), "newTexture");
    const auto [size, alignment] = device.heapTextureSizeAndAlign(wanted);
    const auto held = claim(size, alignment, offset, "newTexture");
    held->texture = device.newTexture(wanted).impl().texture;
    {
        std::lock_guard lock(mutex);
        textureBytes += held->texture->allocatedSize();
    }
    const std::shared_ptr<vk::Texture> texture(held, held->texture.get());
    auto made = std::make_shared<Texture::Impl>(device, wanted.resourceOptions(), texture, wanted);
    adopt(*made, held);
    return Texture(std::move(made));
}

uint64_t Heap::Impl::maxAvailable(uint64_t alignment) const {
    if (alignment == 0 || (alignment & (alignment - 1)))
        throw InvalidArgument(who() + "maxAvailableSize was given an alignment of " +
                              std::to_string(alignment) + " but it must be a power of two.");
    alignment = std::max<uint64_t>(alignment, vk::Memory::alignment);
    std::lock_guard lock(mutex);
    uint64_t most = 0, begin = 0;
    const auto gap = [&](uint64_t end) {
        const uint64_t usable = end > begin ? (end - begin) : 0;
        most = std::max(most, usable / vk::Memory::alignment * vk::Memory::alignment);
    };
    for (const auto& [takenBegin, takenEnd] : taken) {
        gap(takenBegin);
        begin = vk::roundUp(takenEnd, alignment);
    }
    gap(descriptor.size());
    return std::min(most, device.maxBufferLength());
}

Heap Device::newHeap(const HeapDescriptor& descriptor) const {
    const std::string who = subject("Device", name()) + "newHeap was given ";
    if (descriptor.size() == 0) throw InvalidArgument(who + "a size of 0 bytes.");
    if (const uint64_t most = impl().vk->memory().largestHeap(); descriptor.size() > most)
        throw DeviceError(who + "a size of " + std::to_string(descriptor.size()) +
                          " bytes but the device has " + std::to_string(most) +
                          " (VK_ERROR_OUT_OF_DEVICE_MEMORY).");
    const auto cache = uint64_t(descriptor.cpuCacheMode()),
               tracking = uint64_t(descriptor.hazardTrackingMode());
    if (cache > 1 || tracking > 2)
        throw InvalidArgument(who + "cpuCacheMode " + std::to_string(cache) +
                              " and hazardTrackingMode " + std::to_string(tracking) +
                              " but they are at most 1 and 2.");
    const StorageMode mode = descriptor.storageMode();
    if (mode != StorageMode::Private && mode != StorageMode::Shared)
        throw InvalidArgument(who + "storage mode " + std::to_string(uint64_t(mode)) +
                              " but a heap is private (2) or shared (0).");
    HeapDescriptor rounded = descriptor;
    rounded.setSize(vk::roundUp(descriptor.size(), vk::Memory::alignment));
    auto memory = impl().vk->memory().allocate(rounded.size(), mode == StorageMode::Private
                                                                   ? vk::MemoryKind::Device
                                                                   : vk::MemoryKind::Shared);
    return Heap(std::make_shared<Heap::Impl>(*this, rounded, std::move(memory)));
}

SizeAndAlign Device::heapBufferSizeAndAlign(uint64_t length, ResourceOptions options) const {
    checkKnown(options, subject("Device", name()) + "heapBufferSizeAndAlign was given ");
    return {vk::roundUp(std::max<uint64_t>(length, 1), vk::Memory::alignment),
            vk::Memory::alignment};
}

SizeAndAlign Device::heapTextureSizeAndAlign(const TextureDescriptor& descriptor) const {
    checkDescriptor(descriptor, subject("Device", name()));
    const VkMemoryRequirements needs = vk::Texture::requirements(
        *impl().vk, vulkanFormat(descriptor.pixelFormat()), uint32_t(descriptor.width()),
        uint32_t(descriptor.height()), uint32_t(descriptor.arrayLength()));
    const uint64_t alignment = std::max<uint64_t>(needs.alignment, vk::Memory::alignment);
    return {vk::roundUp(needs.size, alignment), alignment};
}

Heap::Heap(std::shared_ptr<Impl> impl) : Object(std::move(impl)) {}

Heap::Impl& Heap::impl() const {
    if (!impl_) throw InvalidArgument("[Heap] The heap handle is empty.");
    return static_cast<Impl&>(*impl_);
}

bool Heap::isKindOf(const detail::ObjectImpl& object) {
    return dynamic_cast<const Impl*>(&object) != nullptr;
}

std::string Heap::label() const {
    std::lock_guard lock(impl().mutex);
    return impl().label;
}

void Heap::setLabel(const std::string& label) const {
    std::lock_guard lock(impl().mutex);
    impl().label = label;
}

Device Heap::device() const { return impl().device; }
HeapType Heap::type() const { return impl().descriptor.type(); }
StorageMode Heap::storageMode() const { return impl().descriptor.storageMode(); }
CPUCacheMode Heap::cpuCacheMode() const { return impl().descriptor.cpuCacheMode(); }

HazardTrackingMode Heap::hazardTrackingMode() const {
    const HazardTrackingMode mode = impl().descriptor.hazardTrackingMode();
    return mode == HazardTrackingMode::Default ? HazardTrackingMode::Untracked : mode;
}

ResourceOptions Heap::resourceOptions() const { return impl().descriptor.resourceOptions(); }
uint64_t Heap::size() const { return impl().descriptor.size(); }

uint64_t Heap::usedSize() const {
    std::lock_guard lock(impl().mutex);
    return impl().used;
}

uint64_t Heap::currentAllocatedSize() const {
    std::lock_guard lock(impl().mutex);
    return impl().descriptor.size() + impl().textureBytes;
}

uint64_t Heap::maxAvailableSize(uint64_t alignment) const { return impl().maxAvailable(alignment); }

PurgeableState Heap::setPurgeableState(PurgeableState state) const {
    std::lock_guard lock(impl().mutex);
    const PurgeableState before = impl().purgeable;
    if (state != PurgeableState::KeepCurrent) impl().purgeable = state;
    return before;
}

Buffer Heap::newBuffer(uint64_t length, ResourceOptions options) const {
    return impl().newBuffer(length, options, std::nullopt);
}

Texture Heap::newTexture(const TextureDescriptor& descriptor) const {
    return impl().newTexture(descriptor, std::nullopt);
}

Buffer Heap::newBuffer(uint64_t length, ResourceOptions options, uint64_t offset) const {
    return impl().newBuffer(length, options, offset);
}

Texture Heap::newTexture(const TextureDescriptor& descriptor, uint64_t offset) const {
    return impl().newTexture(descriptor, offset);
}

} // namespace mpsvk::MTL
