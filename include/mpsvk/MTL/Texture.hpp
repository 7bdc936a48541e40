// MTLTexture and MTLTextureDescriptor: texels on the device, 2D or an array of 2D slices.
#pragma once

#include <mpsvk/MTL/Resource.hpp>

namespace mpsvk::MTL {

/// What a texture is to be. Only Type2D and Type2DArray, one mipmap level, one sample and a depth
/// of 1 can be made; Device::newTexture says so of anything else. MTLTextureDescriptor.
class TextureDescriptor {
public:
    /// 2D, RGBA8Unorm, 1x1, everything else 1 too; shared storage, read by shaders.
    TextureDescriptor() = default;
    /// texture2DDescriptor; `mipmapped` asks for all levels down to 1x1.
    TextureDescriptor(PixelFormat pixelFormat, uint64_t width, uint64_t height, bool mipmapped);

    TextureType textureType() const { return textureType_; }
    void setTextureType(TextureType v) { textureType_ = v; }
    PixelFormat pixelFormat() const { return pixelFormat_; }
    void setPixelFormat(PixelFormat v) { pixelFormat_ = v; }
    uint64_t width() const { return width_; }
    void setWidth(uint64_t v) { width_ = v; }
    uint64_t height() const { return height_; }
    void setHeight(uint64_t v) { height_ = v; }
    uint64_t depth() const { return depth_; }
    void setDepth(uint64_t v) { depth_ = v; }
    uint64_t mipmapLevelCount() const { return mipmapLevelCount_; }
    void setMipmapLevelCount(uint64_t v) { mipmapLevelCount_ = v; }
    uint64_t sampleCount() const { return sampleCount_; }
    void setSampleCount(uint64_t v) { sampleCount_ = v; }
    uint64_t arrayLength() const { return arrayLength_; }
    void setArrayLength(uint64_t v) { arrayLength_ = v; }
    TextureUsage usage() const { return usage_; }
    void setUsage(TextureUsage v) { usage_ = v; }
    bool allowGPUOptimizedContents() const { return allowGPUOptimizedContents_; }
    void setAllowGPUOptimizedContents(bool v) { allowGPUOptimizedContents_ = v; }

    ResourceOptions resourceOptions() const { return resourceOptions_; }
    void setResourceOptions(ResourceOptions v) { resourceOptions_ = v; }
    StorageMode storageMode() const { return storageModeOf(resourceOptions_); }
    void setStorageMode(StorageMode v);
    CPUCacheMode cpuCacheMode() const { return CPUCacheMode(uint64_t(resourceOptions_) & 0xf); }
    void setCpuCacheMode(CPUCacheMode v);
    HazardTrackingMode hazardTrackingMode() const {
        return HazardTrackingMode((uint64_t(resourceOptions_) >> 8) & 3);
    }
    void setHazardTrackingMode(HazardTrackingMode v);

private:
    TextureType textureType_ = TextureType::Type2D;
    PixelFormat pixelFormat_ = PixelFormat::RGBA8Unorm;
    uint64_t width_ = 1, height_ = 1, depth_ = 1;
    uint64_t mipmapLevelCount_ = 1, sampleCount_ = 1, arrayLength_ = 1;
    TextureUsage usage_ = TextureUsage::ShaderRead;
    ResourceOptions resourceOptions_ = ResourceOptions::StorageModeShared;
    bool allowGPUOptimizedContents_ = true;
};

/// Texels start as zeros. Shaders read a texture as `texture2DArray`/`sampler2DArray` and write it
/// as `image2DArray`, whatever its type: a Type2D texture is an array of one slice. MTLTexture.
class Texture : public Resource {
public:
    Texture() = default;
    TextureType textureType() const;
    PixelFormat pixelFormat() const;
    uint64_t width() const;
    uint64_t height() const;
    uint64_t depth() const;
    uint64_t mipmapLevelCount() const;
    uint64_t sampleCount() const;
    uint64_t arrayLength() const;
    TextureUsage usage() const;
    bool allowGPUOptimizedContents() const;
    bool isFramebufferOnly() const { return false; }
    /// The texture that this one is a view of, else empty; then the level and slice in it are 0
    /// and the first of the view.
    Texture parentTexture() const;
    uint64_t parentRelativeLevel() const;
    uint64_t parentRelativeSlice() const;
    /// Always empty: a texture has its own memory.
    Buffer buffer() const;
    uint64_t bufferOffset() const { return 0; }
    uint64_t bufferBytesPerRow() const { return 0; }

    /// Texels of one slice to the host, row by row, each `bytesPerRow` bytes after the last,
    /// without a conversion. `bytesPerImage` is for 3D regions and means nothing here. Throws
    /// InvalidArgument for private storage, for a region, level or slice that is not there, for
    /// too few bytes, and while a command buffer that writes the texture is not completed.
    void getBytes(std::span<std::byte> bytes, uint64_t bytesPerRow, uint64_t bytesPerImage,
                  const Region& region, uint64_t mipmapLevel, uint64_t slice) const;
    void getBytes(std::span<std::byte> bytes, uint64_t bytesPerRow, const Region& region,
                  uint64_t mipmapLevel) const;
    /// Texels of one slice from the host; the counterpart of getBytes.
    void replaceRegion(const Region& region, uint64_t mipmapLevel, uint64_t slice,
                       std::span<const std::byte> bytes, uint64_t bytesPerRow,
                       uint64_t bytesPerImage) const;
    void replaceRegion(const Region& region, uint64_t mipmapLevel, std::span<const std::byte> bytes,
                       uint64_t bytesPerRow) const;

    /// The same texture again when `pixelFormat` is its own; throws InvalidArgument otherwise:
    /// texels are not read in another format.
    Texture newTextureView(PixelFormat pixelFormat) const;

    static bool isKindOf(const detail::ObjectImpl&);
    struct Impl;
    Impl& impl() const;
    explicit Texture(std::shared_ptr<Impl> impl);
};

} // namespace mpsvk::MTL
