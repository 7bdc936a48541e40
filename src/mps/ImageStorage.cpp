#include "mps/Image.hpp"

#include "mtl/CommandBuffer.hpp"
#include "mtl/Texture.hpp"
#include "vk/Device.hpp"

#include <mpsvk/Error.hpp>

namespace mpsvk::mps {

using MPS::ImageFeatureChannelFormat;

ImageStorage::ImageStorage(const MTL::CommandBuffer& commandBuffer, const Shape& shape,
                           uint64_t live)
    : device_(commandBuffer.device()), shape_(shape), heap_(temporaryHeap(commandBuffer)),
      owner_(commandBuffer.impl().serial), live_(live) {}

ImageStorage::ImageStorage(const MTL::Texture& texture, const Shape& shape)
    : device_(texture.device()), shape_(shape), texture_(texture.impl().texture),
      wrapped_(texture) {}

ImageStorage::~ImageStorage() {
    if (range_) heap_->free(range_);
}

uint64_t ImageStorage::elementBytes() const {
    switch (shape_.format) {
    case ImageFeatureChannelFormat::Unorm8: return 1;
    case ImageFeatureChannelFormat::Unorm16:
    case ImageFeatureChannelFormat::Float16: return 2;
    default: return 4;
    }
}

uint64_t ImageStorage::bytesPerTexel() const { return shape_.components * elementBytes(); }

MTL::PixelFormat ImageStorage::pixelFormat() const {
    if (wrapped_) return wrapped_.pixelFormat();
    return MPS::ImageDescriptor(shape_.format, 1, 1, shape_.components).pixelFormat();
}

void ImageStorage::allocate() {
    std::lock_guard lock(mutex_);
    if (isAllocated()) return;
    if (isTemporary() && live_ == 0)
        throw InvalidArgument("[TemporaryImage] The memory of an image whose read count is 0 was "
                              "asked for, but it is given back already.");
    if (shape_.texture) {
        texture_ = std::make_shared<vk::Texture>(
            *device_.impl().vk, MTL::vulkanFormat(pixelFormat()), uint32_t(shape_.width),
            uint32_t(shape_.height), uint32_t(shape_.slices * shape_.images));
        return;
    }
    auto& device = *device_.impl().vk;
    if (imageBytes() > device.limits().storageBufferRange)
        throw DeviceError("[Image] One image of " + std::to_string(shape_.width) + "x" +
                          std::to_string(shape_.height) + " with " +
                          std::to_string(shape_.slices * 4) + " channels takes " +
                          std::to_string(imageBytes()) + " bytes but the device binds at most " +
                          std::to_string(device.limits().storageBufferRange) +
                          " (VK_ERROR_OUT_OF_DEVICE_MEMORY).");
    if (heap_) {
        range_ = heap_->allocate(bytes());
        buffer_ = range_.slice;
        return;
    }
    auto memory = device.memory().allocate(bytes(), shape_.shared ? vk::MemoryKind::Shared
                                                                  : vk::MemoryKind::Device);
    device.clearBeforeUse(memory);
    buffer_ = vk::whole(std::move(memory));
}

const vk::BufferSlice& ImageStorage::buffer() {
    allocate();
    return buffer_;
}

const std::shared_ptr<vk::Texture>& ImageStorage::texture() {
    allocate();
    return texture_;
}

MTL::Texture ImageStorage::textureObject(const MPS::ImageDescriptor& images) {
    if (wrapped_) return wrapped_;
    allocate();
    std::lock_guard lock(mutex_);
    if (!object_) {
        MTL::TextureDescriptor descriptor;
        descriptor.setTextureType(texture_->layers() > 1 ? MTL::TextureType::Type2DArray
                                                         : MTL::TextureType::Type2D);
        descriptor.setPixelFormat(pixelFormat());
        descriptor.setWidth(shape_.width);
        descriptor.setHeight(shape_.height);
        descriptor.setArrayLength(texture_->layers());
        descriptor.setUsage(images.usage());
        descriptor.setStorageMode(images.storageMode());
        descriptor.setCpuCacheMode(images.cpuCacheMode());
        object_ = MTL::Texture(std::make_shared<MTL::Texture::Impl>(
            device_, descriptor.resourceOptions(), texture_, descriptor));
    }
    return object_;
}

std::shared_ptr<vk::Resource> ImageStorage::resource() {
    allocate();
    if (texture_) return texture_;
    return buffer_.buffer;
}

const void* ImageStorage::identity() {
    if (!shape_.texture) return this;
    std::lock_guard lock(mutex_);
    if (texture_) return (const void*)texture_->image();
    return this;
}

void ImageStorage::releaseOne() {
    if (live_ == 0 || --live_ > 0) return;
    std::lock_guard lock(mutex_);
    if (range_) heap_->free(range_);
    range_ = {};
    buffer_ = {};
}

} // namespace mpsvk::mps
