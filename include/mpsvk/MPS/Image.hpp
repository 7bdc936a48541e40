// MPSImage: images with any number of feature channels, alone, in batches, or temporary.
#pragma once

#include <mpsvk/MPS/CoreTypes.hpp>
#include <mpsvk/MTL/CommandBuffer.hpp>
#include <mpsvk/MTL/Texture.hpp>

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace mpsvk::MPS {

class Image;
class Kernel;
using ImageBatch = std::vector<Image>;

/// Where an image's texels live. Every kernel takes both and gives the same result.
enum class ImageStorage {
    Automatic, ///< a storage buffer
    Buffer,    ///< a Vulkan storage buffer: channels last, padded with zeros to a multiple of four
    Texture,   ///< a Vulkan 2D-array storage image: four channels per layer
};

/// Those of MTL::PurgeableState, and that of an image without memory.
enum class PurgeableState : uint64_t {
    AllocationDeferred = 0,
    KeepCurrent = 1,
    NonVolatile = 2,
    Volatile = 3,
    Empty = 4,
};

/// MPSImageDescriptor. Defaults: 1x1, 1 channel, 1 image, no format.
class ImageDescriptor {
public:
    ImageDescriptor() = default;
    ImageDescriptor(ImageFeatureChannelFormat channelFormat, uint64_t width, uint64_t height,
                    uint64_t featureChannels, uint64_t numberOfImages = 1,
                    MTL::TextureUsage usage = MTL::TextureUsage::ShaderRead |
                                              MTL::TextureUsage::ShaderWrite)
        : width_(width), height_(height), featureChannels_(featureChannels),
          numberOfImages_(numberOfImages), channelFormat_(channelFormat), usage_(usage) {}

    uint64_t width() const { return width_; }
    void setWidth(uint64_t v) { width_ = v; }
    uint64_t height() const { return height_; }
    void setHeight(uint64_t v) { height_ = v; }
    uint64_t featureChannels() const { return featureChannels_; }
    void setFeatureChannels(uint64_t v) { featureChannels_ = v; }
    uint64_t numberOfImages() const { return numberOfImages_; }
    void setNumberOfImages(uint64_t v) { numberOfImages_ = v; }
    ImageFeatureChannelFormat channelFormat() const { return channelFormat_; }
    void setChannelFormat(ImageFeatureChannelFormat v) { channelFormat_ = v; }
    /// R for 1 channel, RG for 2, RGBA for more, in the channel format.
    MTL::PixelFormat pixelFormat() const;
    MTL::CPUCacheMode cpuCacheMode() const { return cpuCacheMode_; }
    void setCpuCacheMode(MTL::CPUCacheMode v) { cpuCacheMode_ = v; }
    /// Shared, Managed or Private; the host cannot read or write a private image.
    MTL::StorageMode storageMode() const { return storageMode_; }
    void setStorageMode(MTL::StorageMode v) { storageMode_ = v; }
    MTL::TextureUsage usage() const { return usage_; }
    void setUsage(MTL::TextureUsage v) { usage_ = v; }
    /// An extension: see ImageStorage.
    ImageStorage storage() const { return storage_; }
    void setStorage(ImageStorage v) { storage_ = v; }

private:
    uint64_t width_ = 1, height_ = 1, featureChannels_ = 1, numberOfImages_ = 1;
    ImageFeatureChannelFormat channelFormat_ = ImageFeatureChannelFormat::None;
    MTL::CPUCacheMode cpuCacheMode_ = MTL::CPUCacheMode::DefaultCache;
    MTL::StorageMode storageMode_ = MTL::StorageMode::Shared;
    MTL::TextureUsage usage_ = MTL::TextureUsage::ShaderRead | MTL::TextureUsage::ShaderWrite;
    ImageStorage storage_ = ImageStorage::Automatic;
};

/// MPSImageReadWriteParams: which channels a partial read or write moves.
struct ImageReadWriteParams {
    uint64_t featureChannelOffset = 0;               ///< a multiple of 4
    uint64_t numberOfFeatureChannelsToReadWrite = 0; ///< a multiple of 4 unless the offset is 0
};

/// Makes the images that an encode returns. Called on the encoding thread. MPSImageAllocator.
class ImageAllocator {
public:
    virtual ~ImageAllocator() = default;
    virtual Image image(MTL::CommandBuffer commandBuffer, ImageDescriptor descriptor,
                        const Kernel& kernel) = 0;
    /// One call for a whole batch; by default `image` called `count` times.
    virtual ImageBatch imageBatch(MTL::CommandBuffer commandBuffer, ImageDescriptor descriptor,
                                  const Kernel& kernel, uint64_t count);
};

/// An array of `numberOfImages` images of width x height pixels with `featureChannels` elements
/// each, stored as slices of four channels: element c of pixel (x, y) of image n is component c % 4
/// of texel (x, y) of slice n * ceil(featureChannels / 4) + floor(c / 4). Kernels read and write it
/// in fp32 whatever its format. MPSImage.
class Image : public Object {
public:
    Image() = default;
    /// Storage is made at first use. Throws InvalidArgument for a size of 0, no channel format,
    /// Unorm16 (which no kernel stores) or memoryless storage; DeviceError above the device's
    /// limits.
    Image(const MTL::Device& device, const ImageDescriptor& descriptor);
    /// Wraps a texture: a 2D one for up to 4 channels and one image, else a 2D array whose length
    /// is a multiple of ceil(featureChannels/4). Throws InvalidArgument when the texture's format
    /// has fewer channels.
    Image(const MTL::Texture& texture, uint64_t featureChannels);
    /// A view on slices [location, location+length) of the parent. That of a temporary image is
    /// temporary, and has read its parent once when its own read count is 0. Throws InvalidArgument
    /// when the parent's read count is 0.
    Image(const Image& parent, MTL::Range sliceRange, uint64_t featureChannels);

    /// `count` images in one allocation, so that a kernel runs over them in one dispatch; textures
    /// in more where one has too few layers.
    static ImageBatch batch(const MTL::Device& device, const ImageDescriptor& descriptor,
                            uint64_t count);
    static std::shared_ptr<ImageAllocator> defaultAllocator();

    MTL::Device device() const;
    uint64_t width() const;
    uint64_t height() const;
    uint64_t featureChannels() const;
    uint64_t numberOfImages() const;
    MTL::TextureType textureType() const;
    MTL::PixelFormat pixelFormat() const;
    MTL::TextureUsage usage() const;
    ImageFeatureChannelFormat featureChannelFormat() const;
    /// An extension: Buffer or Texture.
    ImageStorage storage() const;
    /// Bits of an element's significand, the implicit one counted: 8, 11, 16 or 24.
    uint64_t precision() const;
    /// Bytes of a texel of one slice.
    uint64_t pixelSize() const;
    std::string label() const;
    void setLabel(const std::string& label) const;
    Image parent() const;
    /// The texture behind an image of texture storage, made now if need be. Throws InvalidArgument
    /// for an image that is a buffer.
    MTL::Texture texture() const;
    /// Bytes of device memory; 0 for views and wrapped textures.
    uint64_t resourceSize() const;
    /// Keeps the contents whatever is asked; returns the state before. AllocationDeferred, and no
    /// change, while the image has no memory.
    PurgeableState setPurgeableState(PurgeableState state) const;
    bool isTemporary() const;

    /// One image per batch element, all views on this one.
    ImageBatch batchRepresentation() const;
    ImageBatch batchRepresentation(MTL::Range subRange) const;
    /// A window of channels; location and length are multiples of 4, and a length that is too long
    /// is cut. Throws InvalidArgument when numberOfImages is not 1.
    Image subImage(MTL::Range featureChannelRange) const;

    /// Moves a whole image, tightly packed, in the image's own element type. The size of the span
    /// must fit. Throws InvalidArgument for private or temporary images, and while a command buffer
    /// that writes the image is not completed.
    void readBytes(std::span<std::byte> bytes, DataLayout layout, uint64_t imageIndex) const;
    void writeBytes(std::span<const std::byte> bytes, DataLayout layout, uint64_t imageIndex) const;
    void readBytes(std::span<std::byte> bytes, DataLayout layout, uint64_t bytesPerRow,
                   MTL::Region region, ImageReadWriteParams channels, uint64_t imageIndex) const;
    void writeBytes(std::span<const std::byte> bytes, DataLayout layout, uint64_t bytesPerRow,
                    MTL::Region region, ImageReadWriteParams channels, uint64_t imageIndex) const;
    void readBytes(std::span<std::byte> bytes, DataLayout layout, uint64_t bytesPerRow,
                   uint64_t bytesPerImage, MTL::Region region, ImageReadWriteParams channels,
                   uint64_t imageIndex) const;
    void writeBytes(std::span<const std::byte> bytes, DataLayout layout, uint64_t bytesPerRow,
                    uint64_t bytesPerImage, MTL::Region region, ImageReadWriteParams channels,
                    uint64_t imageIndex) const;
    void writeBytes(std::span<const std::byte> bytes, DataLayout layout, uint64_t bytesPerColumn,
                    uint64_t bytesPerRow, uint64_t bytesPerImage, MTL::Region region,
                    ImageReadWriteParams channels, uint64_t imageIndex) const;

    /// An extension: the same, converted from and to float.
    void write(std::span<const float> values,
               DataLayout layout = DataLayout::HeightxWidthxFeatureChannels,
               uint64_t imageIndex = 0) const;
    void read(std::span<float> values, DataLayout layout = DataLayout::HeightxWidthxFeatureChannels,
              uint64_t imageIndex = 0) const;

    /// Kept for ported code: what the GPU wrote can be read once its command buffer is completed.
    void synchronize(const MTL::CommandBuffer& commandBuffer) const;

    static bool isKindOf(const detail::ObjectImpl&);
    struct Impl;
    Impl& impl() const;
    explicit Image(std::shared_ptr<Impl> impl);
};

/// MPSTemporaryImage: memory of a command buffer, given back when the image was read as often as
/// its read count says.
class TemporaryImage : public Image {
public:
    TemporaryImage() = default;
    TemporaryImage(const MTL::CommandBuffer& commandBuffer, const ImageDescriptor& descriptor);
    /// Stored as textures: one image of as many channels as the pixel format has.
    TemporaryImage(const MTL::CommandBuffer& commandBuffer,
                   const MTL::TextureDescriptor& descriptor);
    /// As many images as fit into the array of slices. Throws InvalidArgument when that is no whole
    /// number, for a texture that cannot be made or is not for shaders, and for 16-bit Unorm.
    TemporaryImage(const MTL::CommandBuffer& commandBuffer,
                   const MTL::TextureDescriptor& descriptor, uint64_t featureChannels);
    static ImageBatch batch(const MTL::CommandBuffer& commandBuffer,
                            const ImageDescriptor& descriptor, uint64_t count);
    static std::shared_ptr<ImageAllocator> defaultAllocator();
    /// A hint: nothing has to be done for it here, since the heaps of earlier steps are kept.
    /// Throws InvalidArgument after commit.
    static void prefetchStorage(const MTL::CommandBuffer& commandBuffer,
                                const std::vector<ImageDescriptor>& descriptors);

    /// How many more encodes may read the image; 1 at first.
    uint64_t readCount() const;
    /// 0 releases the memory. Throws InvalidArgument once the count is 0.
    void setReadCount(uint64_t count) const;

    static bool isKindOf(const detail::ObjectImpl&);
};

/// Adds `amount` to the read count of every temporary image in the batch, once per object; returns
/// the number of different images. Throws InvalidArgument when a count would fall below 0.
uint64_t ImageBatchIncrementReadCount(const ImageBatch& batch, int64_t amount);
void ImageBatchSynchronize(const ImageBatch& batch, const MTL::CommandBuffer& commandBuffer);
uint64_t ImageBatchResourceSize(const ImageBatch& batch);
/// Visits each object once; stops early when the call returns more than INT64_MIN. Returns the
/// last call's value.
int64_t ImageBatchIterate(const ImageBatch& batch,
                          const std::function<int64_t(const Image&, uint64_t index)>& visit);

} // namespace mpsvk::MPS
