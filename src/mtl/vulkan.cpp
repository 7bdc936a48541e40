#include "mtl/Buffer.hpp"
#include "mtl/Texture.hpp"
#include "vk/Instance.hpp"

#include <mpsvk/Error.hpp>
#include <mpsvk/vulkan.hpp>

#include <vector>

namespace mpsvk::vulkan {

namespace {

void refuse(const char* function, const std::string& what) {
    throw InvalidArgument("[vulkan] " + std::string(function) + " was given " + what + ".");
}

} // namespace

MTL::Device adoptDevice(const DeviceHandles& h) {
    if (!h.instance || !h.physicalDevice || !h.device || !h.queue)
        refuse("adoptDevice",
               "a null handle but needs an instance, a physical device, a device and a queue");
    vk::loadFunctions(h.instance);
    uint32_t count = 0;
    vkGetPhysicalDeviceQueueFamilyProperties(h.physicalDevice, &count, nullptr);
    std::vector<VkQueueFamilyProperties> families(count);
    vkGetPhysicalDeviceQueueFamilyProperties(h.physicalDevice, &count, families.data());
    if (h.queueFamilyIndex >= count)
        refuse("adoptDevice", "queue family " + std::to_string(h.queueFamilyIndex) +
                                  " of a device that has " + std::to_string(count));
    if (!(families[h.queueFamilyIndex].queueFlags & VK_QUEUE_COMPUTE_BIT))
        refuse("adoptDevice",
               "queue family " + std::to_string(h.queueFamilyIndex) + ", which does not compute");
    vk::Features features;
    features.pushDescriptor = h.pushDescriptor;
    features.textureStorage = h.storageImageWriteWithoutFormat;
    features.cooperativeMatrix = h.cooperativeMatrix;
    features.bfloat16 = h.bfloat16;
    auto device = vk::Device::adopt(h.instance, h.physicalDevice, h.device, h.queueFamilyIndex,
                                    h.queue, features);
    // Ids below this one belong to CopyAllDevices.
    const uint64_t id = uint64_t(1) << 32 | uint64_t(device->properties().deviceID);
    return std::make_shared<MTL::Device::Impl>(std::move(device), id)->handle();
}

DeviceHandles handles(const MTL::Device& device) {
    const vk::Device& own = *device.impl().vk;
    return {own.instance(),
            own.physicalDevice(),
            own.handle(),
            own.queueFamily(),
            own.queue(),
            own.features().textureStorage,
            own.features().pushDescriptor,
            own.features().cooperativeMatrix,
            own.features().bfloat16};
}

void withQueue(const MTL::Device& device, const std::function<void(VkQueue)>& use) {
    device.impl().vk->withQueue(use);
}

MTL::Buffer wrapBuffer(const MTL::Device& device, VkBuffer buffer, uint64_t length, void* mapped) {
    if (!buffer) refuse("wrapBuffer", "a null VkBuffer");
    if (length == 0) refuse("wrapBuffer", "a length of 0 bytes");
    const auto options =
        mapped ? MTL::ResourceOptions::StorageModeShared : MTL::ResourceOptions::StorageModePrivate;
    auto wrapped = std::make_shared<vk::Buffer>(buffer, length, static_cast<std::byte*>(mapped));
    return MTL::Buffer(
        std::make_shared<MTL::Buffer::Impl>(device, options, vk::whole(std::move(wrapped))));
}

BufferHandle handle(const MTL::Buffer& buffer) {
    const vk::BufferSlice& slice = buffer.impl().slice;
    return {slice.buffer->handle(), slice.begin(), slice.size};
}

MTL::Texture wrapImage(const MTL::Device& device, VkImage image,
                       const MTL::TextureDescriptor& descriptor) {
    if (!image) refuse("wrapImage", "a null VkImage");
    MTL::checkDescriptor(descriptor, "[vulkan] wrapImage: ");
    auto wrapped = std::make_shared<vk::Texture>(
        *device.impl().vk, image, MTL::vulkanFormat(descriptor.pixelFormat()),
        uint32_t(descriptor.width()), uint32_t(descriptor.height()),
        uint32_t(descriptor.arrayLength()));
    return MTL::Texture(std::make_shared<MTL::Texture::Impl>(device, descriptor.resourceOptions(),
                                                             std::move(wrapped), descriptor));
}

ImageHandle handle(const MTL::Texture& texture) {
    const vk::Texture& own = *texture.impl().texture;
    return {own.image(), own.view(), own.format()};
}

} // namespace mpsvk::vulkan
