// The object behind MTL::Texture, and what a pixel format is to Vulkan.
#pragma once

#include "mtl/Resource.hpp"
#include "vk/Texture.hpp"

#include <mpsvk/MTL/Texture.hpp>

namespace mpsvk::MTL {

struct Texture::Impl : Resource::Impl {
    Impl(Device device, ResourceOptions options, std::shared_ptr<vk::Texture> texture,
         TextureDescriptor descriptor)
        : Resource::Impl(std::move(device), options), texture(std::move(texture)),
          descriptor(std::move(descriptor)) {}
    uint64_t bytes() const override { return parent ? 0 : texture->allocatedSize(); }

    std::shared_ptr<vk::Texture> texture;
    TextureDescriptor descriptor;
    std::shared_ptr<Impl> parent; ///< of a view
};

/// VK_FORMAT_UNDEFINED for PixelFormat::Invalid and for numbers that name no format.
VkFormat vulkanFormat(PixelFormat format);
/// 0 where vulkanFormat gives VK_FORMAT_UNDEFINED.
uint32_t bytesPerPixel(PixelFormat format);
/// "RGBA16Float", for sentences.
std::string nameOf(PixelFormat format);

/// Throws InvalidArgument unless a texture can be made as `descriptor` says; `who` opens the
/// sentence.
void checkDescriptor(const TextureDescriptor& descriptor, const std::string& who);
/// Throws InvalidArgument unless `region` lies in the texture's only level and `slice` in the
/// array.
void checkRegion(const Texture::Impl& texture, const Region& region, uint64_t mipmapLevel,
                 uint64_t slice, const std::string& who);
/// What a copy of `region` of `slice` is to Vulkan. `bytesPerRow` must be a multiple of the texel.
VkBufferImageCopy copyRegion(const Texture::Impl& texture, const Region& region, uint64_t slice,
                             uint64_t bytesPerRow);

} // namespace mpsvk::MTL
