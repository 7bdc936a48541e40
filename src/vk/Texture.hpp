// A 2D or 2D-array image that shaders read (sampled) and write (storage), always in layout GENERAL.
#pragma once

#include "vk/Memory.hpp"

namespace mpsvk::vk {

class Texture : public Resource {
public:
    /// Throws DeviceError when the device cannot make it.
    Texture(Device& device, VkFormat format, uint32_t width, uint32_t height, uint32_t layers);
    /// An image of the user's, in layout GENERAL; its lifetime is theirs.
    Texture(Device& device, VkImage image, VkFormat format, uint32_t width, uint32_t height,
            uint32_t layers);
    ~Texture() override;
    /// The memory that such a texture takes, without making one.
    static VkMemoryRequirements requirements(Device& device, VkFormat format, uint32_t width,
                                             uint32_t height, uint32_t layers);
    Texture(const Texture&) = delete;

    VkImage image() const { return image_; }
    VkImageView view() const { return view_; }
    VkFormat format() const { return format_; }
    uint32_t width() const { return width_; }
    uint32_t height() const { return height_; }
    uint32_t layers() const { return layers_; }
    VkDeviceSize allocatedSize() const { return bytes_; }

private:
    void makeView();
    void toGeneralLayout(); ///< and zeros
    void destroy();

    Device& device_;
    VkFormat format_;
    uint32_t width_, height_, layers_;
    VkImage image_ = VK_NULL_HANDLE;
    VkImageView view_ = VK_NULL_HANDLE;
    VmaAllocation allocation_ = VK_NULL_HANDLE;
    VkDeviceSize bytes_ = 0;
};

} // namespace mpsvk::vk
