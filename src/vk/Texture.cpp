#include "vk/Texture.hpp"

#include "vk/Device.hpp"

#include <mpsvk/Error.hpp>

#include <string>

namespace mpsvk::vk {

namespace {

VkImageCreateInfo imageInfo(Device& device, VkFormat format, uint32_t width, uint32_t height,
                            uint32_t layers) {
    const Limits& limits = device.limits();
    const std::string what = "A texture of " + std::to_string(width) + "x" +
                             std::to_string(height) + " with " + std::to_string(layers) +
                             " layers was asked for but the device";
    if (!device.features().textureStorage)
        throw DeviceError(what + " cannot write storage images without a format.");
    if (width > limits.imageSize2D || height > limits.imageSize2D || layers > limits.imageLayers)
        throw DeviceError(what + "'s limits are " + std::to_string(limits.imageSize2D) +
                          " pixels and " + std::to_string(limits.imageLayers) + " layers.");
    constexpr VkFormatFeatureFlags wanted =
        VK_FORMAT_FEATURE_SAMPLED_IMAGE_BIT | VK_FORMAT_FEATURE_STORAGE_IMAGE_BIT |
        VK_FORMAT_FEATURE_TRANSFER_SRC_BIT | VK_FORMAT_FEATURE_TRANSFER_DST_BIT;
    VkFormatProperties properties{};
    vkGetPhysicalDeviceFormatProperties(device.physicalDevice(), format, &properties);
    if ((properties.optimalTilingFeatures & wanted) != wanted)
        throw DeviceError(what + " cannot both read and write VkFormat " + std::to_string(format) +
                          ".");
    VkImageCreateInfo info{VK_STRUCTURE_TYPE_IMAGE_CREATE_INFO};
    info.imageType = VK_IMAGE_TYPE_2D;
    info.format = format;
    info.extent = {width, height, 1};
    info.mipLevels = 1;
    info.arrayLayers = layers;
    info.samples = VK_SAMPLE_COUNT_1_BIT;
    info.tiling = VK_IMAGE_TILING_OPTIMAL;
    info.usage = VK_IMAGE_USAGE_SAMPLED_BIT | VK_IMAGE_USAGE_STORAGE_BIT |
                 VK_IMAGE_USAGE_TRANSFER_SRC_BIT | VK_IMAGE_USAGE_TRANSFER_DST_BIT;
    info.initialLayout = VK_IMAGE_LAYOUT_UNDEFINED;
    return info;
}

} // namespace

VkMemoryRequirements Texture::requirements(Device& device, VkFormat format, uint32_t width,
                                           uint32_t height, uint32_t layers) {
    const VkImageCreateInfo info = imageInfo(device, format, width, height, layers);
    VkImage image = VK_NULL_HANDLE;
    check(vkCreateImage(device.handle(), &info, nullptr, &image), "vkCreateImage");
    VkMemoryRequirements needs{};
    vkGetImageMemoryRequirements(device.handle(), image, &needs);
    vkDestroyImage(device.handle(), image, nullptr);
    return needs;
}

Texture::Texture(Device& device, VkFormat format, uint32_t width, uint32_t height, uint32_t layers)
    : device_(device), format_(format), width_(width), height_(height), layers_(layers) {
    const VkImageCreateInfo info = imageInfo(device, format, width, height, layers);
    VmaAllocationCreateInfo request{};
    request.preferredFlags = VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT;
    VmaAllocationInfo made{};
    check(
        vmaCreateImage(device.memory().allocator(), &info, &request, &image_, &allocation_, &made),
        "Allocating a texture of " + std::to_string(width) + "x" + std::to_string(height) +
            " with " + std::to_string(layers) + " layers");
    bytes_ = made.size;
    device.memory().bytes_ += bytes_;
    try {
        makeView();
        toGeneralLayout();
    } catch (...) {
        destroy();
        throw;
    }
}

void Texture::toGeneralLayout() {
    device_.immediately([&](VkCommandBuffer commands) {
        const VkImageSubresourceRange all{VK_IMAGE_ASPECT_COLOR_BIT, 0, 1, 0, layers_};
        VkImageMemoryBarrier barrier{VK_STRUCTURE_TYPE_IMAGE_MEMORY_BARRIER};
        barrier.dstAccessMask = VK_ACCESS_MEMORY_WRITE_BIT | VK_ACCESS_MEMORY_READ_BIT;
        barrier.oldLayout = VK_IMAGE_LAYOUT_UNDEFINED;
        barrier.newLayout = VK_IMAGE_LAYOUT_GENERAL;
        barrier.srcQueueFamilyIndex = barrier.dstQueueFamilyIndex = VK_QUEUE_FAMILY_IGNORED;
        barrier.image = image_;
        barrier.subresourceRange = all;
        vkCmdPipelineBarrier(commands, VK_PIPELINE_STAGE_TOP_OF_PIPE_BIT,
                             VK_PIPELINE_STAGE_ALL_COMMANDS_BIT, 0, 0, nullptr, 0, nullptr, 1,
                             &barrier);
        const VkClearColorValue zero{};
        vkCmdClearColorImage(commands, image_, VK_IMAGE_LAYOUT_GENERAL, &zero, 1, &all);
    });
}

Texture::Texture(Device& device, VkImage image, VkFormat format, uint32_t width, uint32_t height,
                 uint32_t layers)
    : device_(device), format_(format), width_(width), height_(height), layers_(layers),
      image_(image) {
    makeView();
}

void Texture::makeView() {
    VkImageViewCreateInfo info{VK_STRUCTURE_TYPE_IMAGE_VIEW_CREATE_INFO};
    info.image = image_;
    info.viewType = VK_IMAGE_VIEW_TYPE_2D_ARRAY; // one kind of view for every texture
    info.format = format_;
    info.subresourceRange = {VK_IMAGE_ASPECT_COLOR_BIT, 0, 1, 0, layers_};
    check(vkCreateImageView(device_.handle(), &info, nullptr, &view_), "vkCreateImageView");
}

Texture::~Texture() { destroy(); }

void Texture::destroy() {
    vkDestroyImageView(device_.handle(), view_, nullptr);
    if (!allocation_) return;
    vmaDestroyImage(device_.memory().allocator(), image_, allocation_);
    device_.memory().bytes_ -= bytes_;
}

} // namespace mpsvk::vk
