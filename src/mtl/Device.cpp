#include "mtl/Device.hpp"

#include "mtl/Buffer.hpp"
#include "mtl/CommandQueue.hpp"
#include "vk/Instance.hpp"

#include <mpsvk/Error.hpp>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>

namespace mpsvk::MTL {

std::string subject(std::string_view type, std::string_view label) {
    std::string text = "[" + std::string(type);
    if (!label.empty()) text += " \"" + std::string(label) + "\"";
    return text + "] ";
}

void checkSameDevice(const Device& given, const Device& own, const std::string& who,
                     const char* what) {
    if (given != own)
        throw InvalidArgument(who + " was given " + what + " of the device \"" + given.name() +
                              "\" but belongs to \"" + own.name() + "\".");
}

void Device::Impl::add(const std::shared_ptr<CommandQueue::Impl>& queue) {
    std::lock_guard lock(queuesMutex_);
    std::erase_if(queues_, [](const auto& each) { return each.expired(); });
    queues_.push_back(queue);
}

void Device::Impl::waitForSubmissions() {
    std::vector<std::shared_ptr<CommandQueue::Impl>> queues;
    {
        std::lock_guard lock(queuesMutex_);
        for (const auto& each : queues_)
            if (auto queue = each.lock()) queues.push_back(std::move(queue));
    }
    for (const auto& queue : queues) queue->waitForSubmissions();
}

Device::Device(std::shared_ptr<Impl> impl) : Object(std::move(impl)) {}

Device::Impl& Device::impl() const {
    if (!impl_) throw InvalidArgument("[Device] The device handle is empty.");
    return static_cast<Impl&>(*impl_);
}

bool Device::isKindOf(const detail::ObjectImpl& object) {
    return dynamic_cast<const Impl*>(&object) != nullptr;
}

std::string Device::name() const { return impl().vk->properties().deviceName; }
uint64_t Device::registryID() const { return impl().id; }

Size Device::maxThreadsPerThreadgroup() const {
    const auto& limits = impl().vk->properties().limits;
    return {limits.maxComputeWorkGroupSize[0], limits.maxComputeWorkGroupSize[1],
            limits.maxComputeWorkGroupSize[2]};
}

uint64_t Device::maxThreadgroupMemoryLength() const {
    return impl().vk->limits().sharedMemoryBytes;
}
uint64_t Device::maxBufferLength() const { return impl().vk->limits().storageBufferRange; }

uint64_t Device::recommendedMaxWorkingSetSize() const {
    VkPhysicalDeviceMemoryProperties memory;
    vkGetPhysicalDeviceMemoryProperties(impl().vk->physicalDevice(), &memory);
    uint64_t most = 0;
    for (uint32_t i = 0; i < memory.memoryHeapCount; ++i)
        if (memory.memoryHeaps[i].flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT)
            most = std::max<uint64_t>(most, memory.memoryHeaps[i].size);
    return most;
}

uint64_t Device::currentAllocatedSize() const { return impl().vk->memory().bytesAllocated(); }
bool Device::hasUnifiedMemory() const { return impl().vk->hasUnifiedMemory(); }

bool Device::isLowPower() const {
    return impl().vk->properties().deviceType == VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU;
}

bool Device::isHeadless() const { return true; }   // nothing here presents
bool Device::isRemovable() const { return false; } // Vulkan does not say

ReadWriteTextureTier Device::readWriteTextureSupport() const {
    if (!impl().vk->features().textureStorage) return ReadWriteTextureTier::None;
    VkPhysicalDeviceFeatures available;
    vkGetPhysicalDeviceFeatures(impl().vk->physicalDevice(), &available);
    return available.shaderStorageImageExtendedFormats ? ReadWriteTextureTier::Tier2
                                                       : ReadWriteTextureTier::Tier1;
}

CommandQueue Device::newCommandQueue() const { return newCommandQueue(64); }

CommandQueue Device::newCommandQueue(uint64_t maxCommandBufferCount) const {
    if (maxCommandBufferCount == 0)
        throw InvalidArgument("[Device \"" + name() +
                              "\"] maxCommandBufferCount is 0 but a queue needs at least 1.");
    auto made = std::make_shared<CommandQueue::Impl>(*this, maxCommandBufferCount);
    impl().add(made);
    return CommandQueue(std::move(made));
}

Buffer Device::newBuffer(uint64_t length, ResourceOptions options) const {
    const std::string who = "[Device \"" + name() + "\"] ";
    if (length == 0) throw InvalidArgument(who + "newBuffer was given a length of 0 bytes.");
    if (length > maxBufferLength())
        throw DeviceError(who + "newBuffer was given a length of " + std::to_string(length) +
                          " bytes but the device's limit is " + std::to_string(maxBufferLength()) +
                          " (VK_ERROR_OUT_OF_DEVICE_MEMORY).");
    checkKnown(options, who + "newBuffer was given ");
    const StorageMode mode = storageModeOf(options);
    if (mode == StorageMode::Memoryless)
        throw InvalidArgument(who +
                              "newBuffer was given memoryless storage, which buffers cannot have.");
    const bool isPrivate = mode == StorageMode::Private;
    auto& vk = *impl().vk;
    auto memory =
        vk.memory().allocate(length, isPrivate ? vk::MemoryKind::Device : vk::MemoryKind::Shared);
    vk.clearBeforeUse(memory);
    auto made = std::make_shared<Buffer::Impl>(*this, options, vk::whole(std::move(memory)));
    return Buffer(std::move(made));
}

Buffer Device::newBuffer(std::span<const std::byte> bytes, ResourceOptions options) const {
    if (storageModeOf(options) == StorageMode::Private)
        throw InvalidArgument(
            "[Device \"" + name() +
            "\"] newBuffer was given bytes to copy and private storage, which the "
            "host cannot write.");
    Buffer made = newBuffer(bytes.size(), options);
    std::memcpy(made.contents().data(), bytes.data(), bytes.size());
    return made;
}

namespace {

/// A device is opened when it is first asked for and closed with its last handle.
std::vector<std::weak_ptr<Device::Impl>>& openDevices() {
    static std::vector<std::weak_ptr<Device::Impl>> devices;
    return devices;
}

std::mutex devicesMutex;

} // namespace

std::vector<Device> CopyAllDevices() {
    std::lock_guard lock(devicesMutex);
    const auto physical = vk::physicalDevices();
    auto& open = openDevices();
    open.resize(physical.size());
    std::vector<Device> result;
    for (size_t i = 0; i < physical.size(); ++i) {
        auto impl = open[i].lock();
        if (!impl) {
            impl = std::make_shared<Device::Impl>(vk::Device::create(physical[i]), i + 1);
            open[i] = impl;
        }
        result.push_back(impl->handle());
    }
    return result;
}

Device CreateSystemDefaultDevice() {
    const std::vector<Device> all = CopyAllDevices();
    if (all.empty())
        throw DeviceError(
            "No Vulkan device with a compute queue was found (VK_ERROR_INITIALIZATION_FAILED).");
    const char* wanted = std::getenv("MPSVK_DEVICE");
    if (!wanted || !*wanted) return all.front();
    char* end = nullptr;
    const unsigned long index = std::strtoul(wanted, &end, 10);
    if (*end == 0) {
        if (index < all.size()) return all[index];
        throw DeviceError("MPSVK_DEVICE is " + std::string(wanted) + " but there are " +
                          std::to_string(all.size()) + " devices, numbered from 0.");
    }
    const auto lower = [](std::string text) {
        std::ranges::transform(text, text.begin(), [](unsigned char c) { return std::tolower(c); });
        return text;
    };
    for (const Device& device : all)
        if (lower(device.name()).find(lower(wanted)) != std::string::npos) return device;
    throw DeviceError("MPSVK_DEVICE is \"" + std::string(wanted) +
                      "\" but no device has that in its name.");
}

} // namespace mpsvk::MTL
