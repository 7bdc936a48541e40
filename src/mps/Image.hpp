// The objects behind MPS::Image: the texels (shared by views and batches) and a window on them.
#pragma once

#include "mps/TemporaryHeap.hpp"
#include "mtl/Device.hpp"
#include "vk/Texture.hpp"

#include <mpsvk/MPS/Image.hpp>

#include <mutex>

namespace mpsvk::mps {

/// Texels of `images` equal images, made at first use.
class ImageStorage {
public:
    struct Shape {
        uint64_t width = 1, height = 1, slices = 1, images = 1;
        MPS::ImageFeatureChannelFormat format = MPS::ImageFeatureChannelFormat::Float32;
        bool texture = false;
        bool shared = false;     ///< in memory that the host reaches without a copy
        uint32_t components = 4; ///< of a texel: fewer only in textures
    };
    ImageStorage(MTL::Device device, const Shape& shape)
        : device_(std::move(device)), shape_(shape) {}
    /// In the memory of a command buffer; freed when `live` images are released.
    ImageStorage(const MTL::CommandBuffer& commandBuffer, const Shape& shape, uint64_t live);
    /// Around a texture of the user's.
    ImageStorage(const MTL::Texture& texture, const Shape& shape);
    ~ImageStorage();
    ImageStorage(const ImageStorage&) = delete;

    const Shape& shape() const { return shape_; }
    const MTL::Device& device() const { return device_; }
    bool isTemporary() const { return owner_ != 0; }
    bool isAllocated() const { return buffer_ || texture_; }
    bool isWrapped() const { return bool(wrapped_); } ///< around a texture of the user's
    /// The serial of the command buffer that a temporary image belongs to.
    uint64_t owner() const { return owner_; }

    void allocate();
    const vk::BufferSlice& buffer(); ///< of buffer storage
    const std::shared_ptr<vk::Texture>& texture();
    /// The texture as an object for the user; `images` says for what the storage was made.
    MTL::Texture textureObject(const MPS::ImageDescriptor& images);
    /// Of texture storage; makes none.
    MTL::PixelFormat pixelFormat() const;
    std::shared_ptr<vk::Resource> resource();
    /// The same for all storages in one texture.
    const void* identity();

    uint64_t elementBytes() const; ///< of one component
    uint64_t bytesPerTexel() const;
    uint64_t imageTexels() const { return shape_.width * shape_.height * shape_.slices; }
    uint64_t imageBytes() const { return imageTexels() * bytesPerTexel(); }
    uint64_t bytes() const { return imageBytes() * shape_.images; }
    /// One of the temporary images is done.
    void releaseOne();

    /// Remembered, and nothing more.
    MPS::PurgeableState purgeable = MPS::PurgeableState::NonVolatile;

private:
    const MTL::Device device_;
    const Shape shape_;
    std::mutex mutex_;
    vk::BufferSlice buffer_;
    std::shared_ptr<vk::Texture> texture_;
    MTL::Texture wrapped_;
    std::shared_ptr<TemporaryHeap> heap_;
    TemporaryHeap::Range range_;
    uint64_t owner_ = 0;
    uint64_t live_ = 0;
    MTL::Texture object_; ///< of a texture that is the storage's own
};

inline uint64_t slicesFor(uint64_t channels) { return (channels + 3) / 4; }

} // namespace mpsvk::mps

namespace mpsvk::MPS {

struct Image::Impl : detail::ObjectImpl, std::enable_shared_from_this<Image::Impl> {
    ~Impl() override;

    ImageDescriptor descriptor; ///< of this view; its storage is Buffer or Texture
    std::shared_ptr<mps::ImageStorage> storage;
    uint64_t firstImage = 0; ///< in the storage
    uint64_t firstSlice = 0; ///< within each of its images
    std::shared_ptr<Impl> parent;
    std::string label;
    bool temporary = false;
    uint64_t readCount = 0;

    /// Throws InvalidArgument when the image cannot take part in an encode of `commandBuffer`.
    void checkUsable(const std::string& who, const char* role,
                     const MTL::CommandBuffer& commandBuffer) const;
    /// A temporary image whose memory is given back, or a view of one.
    bool isSpent() const;
    /// An encode has read it: lowers the count of a temporary image, and frees it at 0.
    void wasRead();
    void setReadCount(uint64_t count);
};

/// Lowers the read counts after an encode, once per object.
void markRead(const ImageBatch& images);

/// The channels from `firstSlice` * 4 on as images of their own; arrays stay arrays. Of a temporary
/// parent: when a view's read count is 0, the parent has been read once.
ImageBatch channelViews(const ImageBatch& parents, uint64_t firstSlice, uint64_t channels);

} // namespace mpsvk::MPS
