#include "mtl/Texture.hpp"

#include <mpsvk/Error.hpp>
#include <mpsvk/MTL/Buffer.hpp>

#include <algorithm>
#include <bit>
#include <cstring>

namespace mpsvk::MTL {

namespace {

struct Format {
    PixelFormat format;
    VkFormat vulkan;
    uint32_t bytes;
    const char* name;
};

constexpr Format formats[] = {
    {PixelFormat::R8Unorm, VK_FORMAT_R8_UNORM, 1, "R8Unorm"},
    {PixelFormat::R16Unorm, VK_FORMAT_R16_UNORM, 2, "R16Unorm"},
    {PixelFormat::R16Float, VK_FORMAT_R16_SFLOAT, 2, "R16Float"},
    {PixelFormat::RG8Unorm, VK_FORMAT_R8G8_UNORM, 2, "RG8Unorm"},
    {PixelFormat::R32Float, VK_FORMAT_R32_SFLOAT, 4, "R32Float"},
    {PixelFormat::RG16Unorm, VK_FORMAT_R16G16_UNORM, 4, "RG16Unorm"},
    {PixelFormat::RG16Float, VK_FORMAT_R16G16_SFLOAT, 4, "RG16Float"},
    {PixelFormat::RGBA8Unorm, VK_FORMAT_R8G8B8A8_UNORM, 4, "RGBA8Unorm"},
    {PixelFormat::BGRA8Unorm, VK_FORMAT_B8G8R8A8_UNORM, 4, "BGRA8Unorm"},
    {PixelFormat::RG32Float, VK_FORMAT_R32G32_SFLOAT, 8, "RG32Float"},
    {PixelFormat::RGBA16Unorm, VK_FORMAT_R16G16B16A16_UNORM, 8, "RGBA16Unorm"},
    {PixelFormat::RGBA16Float, VK_FORMAT_R16G16B16A16_SFLOAT, 8, "RGBA16Float"},
    {PixelFormat::RGBA32Float, VK_FORMAT_R32G32B32A32_SFLOAT, 16, "RGBA32Float"},
};

const Format* find(PixelFormat format) {
    const auto found = std::ranges::find(formats, format, &Format::format);
    return found == std::end(formats) ? nullptr : found;
}

uint64_t withField(ResourceOptions options, uint64_t value, int shift) {
    return (uint64_t(options) & ~(uint64_t(0xf) << shift)) | value << shift;
}

} // namespace

VkFormat vulkanFormat(PixelFormat format) {
    const Format* found = find(format);
    return found ? found->vulkan : VK_FORMAT_UNDEFINED;
}

uint32_t bytesPerPixel(PixelFormat format) {
    const Format* found = find(format);
    return found ? found->bytes : 0;
}

std::string nameOf(PixelFormat format) {
    const Format* found = find(format);
    return found ? found->name : "format " + std::to_string(uint64_t(format));
}

TextureDescriptor::TextureDescriptor(PixelFormat pixelFormat, uint64_t width, uint64_t height,
                                     bool mipmapped)
    : pixelFormat_(pixelFormat), width_(width), height_(height),
      mipmapLevelCount_(mipmapped ? uint64_t(std::bit_width(std::max({width, height, uint64_t(1)})))
                                  : 1) {}

void TextureDescriptor::setCpuCacheMode(CPUCacheMode v) {
    resourceOptions_ = ResourceOptions(withField(resourceOptions_, uint64_t(v), 0));
}

void TextureDescriptor::setStorageMode(StorageMode v) {
    resourceOptions_ = ResourceOptions(withField(resourceOptions_, uint64_t(v), 4));
}

void TextureDescriptor::setHazardTrackingMode(HazardTrackingMode v) {
    resourceOptions_ = ResourceOptions(withField(resourceOptions_, uint64_t(v), 8));
}

void checkDescriptor(const TextureDescriptor& d, const std::string& who) {
    const auto refuse = [&](const std::string& what) {
        throw InvalidArgument(who + "newTexture was given " + what + ".");
    };
    const bool isArray = d.textureType() == TextureType::Type2DArray;
    if (!isArray && d.textureType() != TextureType::Type2D)
        refuse("textureType " + std::to_string(uint64_t(d.textureType())) +
               " but only Type2D (2) and Type2DArray (3) are supported");
    if (!find(d.pixelFormat()))
        refuse("pixelFormat " + std::to_string(uint64_t(d.pixelFormat())) + ", which is no format");
    if (d.width() == 0 || d.height() == 0)
        refuse("a size of " + std::to_string(d.width()) + "x" + std::to_string(d.height()) +
               " but both must be at least 1");
    if (d.depth() != 1)
        refuse("a depth of " + std::to_string(d.depth()) + " but 2D textures have 1");
    if (d.mipmapLevelCount() != 1)
        refuse(std::to_string(d.mipmapLevelCount()) + " mipmap levels but only 1 is supported");
    if (d.sampleCount() != 1)
        refuse(std::to_string(d.sampleCount()) + " samples but only 1 is supported");
    if (d.arrayLength() == 0 || (!isArray && d.arrayLength() != 1))
        refuse("an arrayLength of " + std::to_string(d.arrayLength()) + " but a " +
               (isArray ? "Type2DArray texture needs at least 1" : "Type2D texture has 1"));
    checkKnown(d.resourceOptions(), who + "newTexture was given ");
    if (d.storageMode() == StorageMode::Memoryless)
        refuse("memoryless storage, which only render targets can have");
}

void checkRegion(const Texture::Impl& texture, const Region& region, uint64_t mipmapLevel,
                 uint64_t slice, const std::string& who) {
    const TextureDescriptor& d = texture.descriptor;
    const auto refuse = [&](const std::string& what) { throw InvalidArgument(who + what + "."); };
    if (mipmapLevel != 0)
        refuse("was given mipmap level " + std::to_string(mipmapLevel) +
               " of a texture that has 1");
    if (slice >= d.arrayLength())
        refuse("was given slice " + std::to_string(slice) + " of a texture that has " +
               std::to_string(d.arrayLength()));
    const auto [x, y, z] = region.origin;
    const auto [width, height, depth] = region.size;
    if (z != 0 || depth != 1)
        refuse("was given depths " + std::to_string(z) + " to " + std::to_string(z + depth) +
               " of a texture of depth 1");
    if (width == 0 || height == 0)
        refuse("was given an empty region of " + std::to_string(width) + "x" +
               std::to_string(height));
    if (x > d.width() || width > d.width() - x || y > d.height() || height > d.height() - y)
        refuse("was given the region " + std::to_string(width) + "x" + std::to_string(height) +
               " at (" + std::to_string(x) + ", " + std::to_string(y) + ") of a texture of " +
               std::to_string(d.width()) + "x" + std::to_string(d.height()));
}

VkBufferImageCopy copyRegion(const Texture::Impl& texture, const Region& region, uint64_t slice,
                             uint64_t bytesPerRow) {
    VkBufferImageCopy copy{};
    copy.bufferRowLength = uint32_t(bytesPerRow / bytesPerPixel(texture.descriptor.pixelFormat()));
    copy.imageSubresource = {VK_IMAGE_ASPECT_COLOR_BIT, 0, uint32_t(slice), 1};
    copy.imageOffset = {int32_t(region.origin.x), int32_t(region.origin.y), 0};
    copy.imageExtent = {uint32_t(region.size.width), uint32_t(region.size.height), 1};
    return copy;
}

Texture Device::newTexture(const TextureDescriptor& descriptor) const {
    const std::string who = subject("Device", name());
    checkDescriptor(descriptor, who);
    auto texture = std::make_shared<vk::Texture>(
        *impl().vk, vulkanFormat(descriptor.pixelFormat()),
        uint32_t(std::min<uint64_t>(descriptor.width(), UINT32_MAX)),
        uint32_t(std::min<uint64_t>(descriptor.height(), UINT32_MAX)),
        uint32_t(std::min<uint64_t>(descriptor.arrayLength(), UINT32_MAX)));
    return Texture(std::make_shared<Texture::Impl>(*this, descriptor.resourceOptions(),
                                                   std::move(texture), descriptor));
}

Texture::Texture(std::shared_ptr<Impl> impl) : Resource(std::move(impl)) {}

Texture::Impl& Texture::impl() const {
    if (!impl_) throw InvalidArgument("[Texture] The texture handle is empty.");
    return static_cast<Impl&>(*impl_);
}

bool Texture::isKindOf(const detail::ObjectImpl& object) {
    return dynamic_cast<const Impl*>(&object) != nullptr;
}

TextureType Texture::textureType() const { return impl().descriptor.textureType(); }
PixelFormat Texture::pixelFormat() const { return impl().descriptor.pixelFormat(); }
uint64_t Texture::width() const { return impl().descriptor.width(); }
uint64_t Texture::height() const { return impl().descriptor.height(); }
uint64_t Texture::depth() const { return impl().descriptor.depth(); }
uint64_t Texture::mipmapLevelCount() const { return impl().descriptor.mipmapLevelCount(); }
uint64_t Texture::sampleCount() const { return impl().descriptor.sampleCount(); }
uint64_t Texture::arrayLength() const { return impl().descriptor.arrayLength(); }
TextureUsage Texture::usage() const { return impl().descriptor.usage(); }

bool Texture::allowGPUOptimizedContents() const {
    return impl().descriptor.allowGPUOptimizedContents();
}

Texture Texture::parentTexture() const {
    return impl().parent ? Texture(impl().parent) : Texture();
}
uint64_t Texture::parentRelativeLevel() const { return impl(), 0; }
uint64_t Texture::parentRelativeSlice() const { return impl(), 0; }
Buffer Texture::buffer() const { return impl(), Buffer(); }

Texture Texture::newTextureView(PixelFormat pixelFormat) const {
    if (pixelFormat != this->pixelFormat())
        throw InvalidArgument(subject("Texture", label()) + "newTextureView was given " +
                              nameOf(pixelFormat) + " but a view has its texture's format, " +
                              nameOf(this->pixelFormat()) + ".");
    auto view =
        std::make_shared<Impl>(impl().device, impl().options, impl().texture, impl().descriptor);
    view->parent = std::static_pointer_cast<Impl>(impl_);
    view->heap = impl().heap;
    view->heapOffset = impl().heapOffset;
    return Texture(std::move(view));
}

namespace {

/// Checks what getBytes and replaceRegion have in common; gives the bytes of a row of the region.
uint64_t checkHostCopy(const Texture::Impl& texture, const std::string& who, const Region& region,
                       uint64_t mipmapLevel, uint64_t slice, uint64_t given, uint64_t bytesPerRow) {
    if (storageModeOf(texture.options) == StorageMode::Private)
        throw InvalidArgument(who + "was called on a texture of private storage, which the host "
                                    "cannot reach.");
    checkRegion(texture, region, mipmapLevel, slice, who);
    const uint64_t row = region.size.width * bytesPerPixel(texture.descriptor.pixelFormat());
    if (bytesPerRow < row)
        throw InvalidArgument(who + "was given " + std::to_string(bytesPerRow) +
                              " bytes per row but a row of the region has " + std::to_string(row) +
                              ".");
    // Divided, not multiplied: a huge bytesPerRow must not wrap around.
    const uint64_t rows = region.size.height - 1;
    if (given < row || (rows > 0 && (given - row) / rows < bytesPerRow))
        throw InvalidArgument(who + "was given " + std::to_string(given) + " bytes but " +
                              std::to_string(region.size.height) + " rows, " +
                              std::to_string(bytesPerRow) + " bytes apart, of " +
                              std::to_string(row) + " bytes need " +
                              std::to_string(rows * bytesPerRow + row) + ".");
    if (texture.texture->hasPendingWrites())
        throw InvalidArgument(who + "was called while a command buffer that writes the texture is "
                                    "not completed; commit it and wait for it first.");
    return row;
}

} // namespace

void Texture::getBytes(std::span<std::byte> bytes, uint64_t bytesPerRow, uint64_t,
                       const Region& region, uint64_t mipmapLevel, uint64_t slice) const {
    const std::string who = subject("Texture", label()) + "getBytes ";
    const uint64_t row =
        checkHostCopy(impl(), who, region, mipmapLevel, slice, bytes.size(), bytesPerRow);
    auto& device = *impl().device.impl().vk;
    const auto staging = device.memory().allocate(row * region.size.height, vk::MemoryKind::Shared);
    VkBufferImageCopy copy = copyRegion(impl(), region, slice, row);
    copy.bufferOffset = staging->offset();
    device.immediately([&](VkCommandBuffer commands) {
        vkCmdCopyImageToBuffer(commands, impl().texture->image(), VK_IMAGE_LAYOUT_GENERAL,
                               staging->handle(), 1, &copy);
    });
    for (uint64_t y = 0; y < region.size.height; ++y)
        std::memcpy(bytes.data() + y * bytesPerRow, staging->mapped() + y * row, row);
}

void Texture::getBytes(std::span<std::byte> bytes, uint64_t bytesPerRow, const Region& region,
                       uint64_t mipmapLevel) const {
    getBytes(bytes, bytesPerRow, 0, region, mipmapLevel, 0);
}

void Texture::replaceRegion(const Region& region, uint64_t mipmapLevel, uint64_t slice,
                            std::span<const std::byte> bytes, uint64_t bytesPerRow,
                            uint64_t) const {
    const std::string who = subject("Texture", label()) + "replaceRegion ";
    const uint64_t row =
        checkHostCopy(impl(), who, region, mipmapLevel, slice, bytes.size(), bytesPerRow);
    auto& device = *impl().device.impl().vk;
    const auto staging = device.memory().allocate(row * region.size.height, vk::MemoryKind::Shared);
    for (uint64_t y = 0; y < region.size.height; ++y)
        std::memcpy(staging->mapped() + y * row, bytes.data() + y * bytesPerRow, row);
    VkBufferImageCopy copy = copyRegion(impl(), region, slice, row);
    copy.bufferOffset = staging->offset();
    device.immediately([&](VkCommandBuffer commands) {
        vkCmdCopyBufferToImage(commands, staging->handle(), impl().texture->image(),
                               VK_IMAGE_LAYOUT_GENERAL, 1, &copy);
    });
}

void Texture::replaceRegion(const Region& region, uint64_t mipmapLevel,
                            std::span<const std::byte> bytes, uint64_t bytesPerRow) const {
    replaceRegion(region, mipmapLevel, 0, bytes, bytesPerRow, 0);
}

} // namespace mpsvk::MTL
