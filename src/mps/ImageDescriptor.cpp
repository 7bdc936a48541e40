#include "mps/ImageDescriptor.hpp"

#include "mps/Names.hpp"

#include <mpsvk/Error.hpp>

#include <algorithm>

namespace mpsvk::MPS {

MTL::PixelFormat ImageDescriptor::pixelFormat() const {
    using MTL::PixelFormat;
    const uint64_t lanes = featureChannels_ < 3 ? featureChannels_ : 3;
    const PixelFormat table[4][4] = {{PixelFormat::Invalid, PixelFormat::R8Unorm,
                                      PixelFormat::RG8Unorm, PixelFormat::RGBA8Unorm},
                                     {PixelFormat::Invalid, PixelFormat::R16Unorm,
                                      PixelFormat::RG16Unorm, PixelFormat::RGBA16Unorm},
                                     {PixelFormat::Invalid, PixelFormat::R16Float,
                                      PixelFormat::RG16Float, PixelFormat::RGBA16Float},
                                     {PixelFormat::Invalid, PixelFormat::R32Float,
                                      PixelFormat::RG32Float, PixelFormat::RGBA32Float}};
    if (channelFormat_ == ImageFeatureChannelFormat::None) return PixelFormat::Invalid;
    return table[uint64_t(channelFormat_) - 1][lanes];
}

} // namespace mpsvk::MPS

namespace mpsvk::mps {

ImageStorage::Shape shapeOf(const MPS::ImageDescriptor& d, uint64_t images) {
    ImageStorage::Shape shape{
        d.width(), d.height(),        slicesFor(d.featureChannels()),
        images,    d.channelFormat(), d.storage() == MPS::ImageStorage::Texture};
    if (shape.texture && d.featureChannels() < 3) shape.components = uint32_t(d.featureChannels());
    return shape;
}

MPS::ImageDescriptor checkedDescriptor(const char* who, MPS::ImageDescriptor d) {
    const std::string begin = std::string("[") + who + "] ";
    if (d.width() == 0 || d.height() == 0 || d.featureChannels() == 0 || d.numberOfImages() == 0)
        throw InvalidArgument(begin + "The descriptor says " + std::to_string(d.width()) + "x" +
                              std::to_string(d.height()) + ", " +
                              std::to_string(d.featureChannels()) + " feature channels and " +
                              std::to_string(d.numberOfImages()) +
                              " images, but each must be at least 1.");
    if (d.width() > 65535 || d.height() > 65535)
        throw InvalidArgument(begin + "The descriptor says " + std::to_string(d.width()) + "x" +
                              std::to_string(d.height()) +
                              " but an image has at most 65535 pixels a side.");
    if (d.featureChannels() > UINT32_MAX - 3 || d.numberOfImages() > UINT32_MAX ||
        double(d.width()) * double(d.height()) * double(slicesFor(d.featureChannels())) *
                double(d.numberOfImages()) >
            0x1p48)
        throw DeviceError(begin + "The descriptor says " + std::to_string(d.numberOfImages()) +
                          " images with " + std::to_string(d.featureChannels()) +
                          " feature channels, more than any device holds "
                          "(VK_ERROR_OUT_OF_DEVICE_MEMORY).");
    if (d.channelFormat() != MPS::ImageFeatureChannelFormat::Unorm8 &&
        d.channelFormat() != MPS::ImageFeatureChannelFormat::Float16 &&
        d.channelFormat() != MPS::ImageFeatureChannelFormat::Float32)
        throw InvalidArgument(begin + "The descriptor's channelFormat is " +
                              nameOf(d.channelFormat()) +
                              " but images are stored as Unorm8, Float16 or Float32.");
    if (d.storage() == MPS::ImageStorage::Automatic) d.setStorage(MPS::ImageStorage::Buffer);
    return d;
}

void checkStorageMode(const MPS::ImageDescriptor& d) {
    if (d.storageMode() == MTL::StorageMode::Memoryless)
        throw InvalidArgument("[Image] The descriptor's storageMode is Memoryless but an image is "
                              "Shared, Managed or Private.");
}

uint32_t componentsOf(MTL::PixelFormat format) {
    switch (format) {
    case MTL::PixelFormat::R8Unorm:
    case MTL::PixelFormat::R16Unorm:
    case MTL::PixelFormat::R16Float:
    case MTL::PixelFormat::R32Float: return 1;
    case MTL::PixelFormat::RG8Unorm:
    case MTL::PixelFormat::RG16Unorm:
    case MTL::PixelFormat::RG16Float:
    case MTL::PixelFormat::RG32Float: return 2;
    default: return 4;
    }
}

void checkComponents(const ImageStorage::Shape& shape, MTL::PixelFormat format,
                     uint64_t featureChannels) {
    if (std::min<uint64_t>(featureChannels, 4) > shape.components)
        throw InvalidArgument("[Image] A texture of " + MTL::nameOf(format) + " has " +
                              std::to_string(shape.components) +
                              " channels a slice, which is too few for an image of " +
                              std::to_string(featureChannels) + " feature channels.");
}

MPS::ImageDescriptor descriptorOf(const char* who, const MTL::TextureDescriptor& texture,
                                  uint64_t featureChannels) {
    const uint64_t slices = slicesFor(featureChannels);
    if (featureChannels == 0 || texture.arrayLength() % slices != 0)
        throw InvalidArgument(
            std::string("[") + who + "] A texture with " + std::to_string(texture.arrayLength()) +
            " slices cannot hold images of " + std::to_string(featureChannels) +
            " feature channels, which take " + std::to_string(slices) + " slices each.");
    MPS::ImageFeatureChannelFormat format;
    switch (texture.pixelFormat()) {
    case MTL::PixelFormat::R8Unorm:
    case MTL::PixelFormat::RG8Unorm:
    case MTL::PixelFormat::RGBA8Unorm:
    case MTL::PixelFormat::BGRA8Unorm: format = MPS::ImageFeatureChannelFormat::Unorm8; break;
    case MTL::PixelFormat::R16Unorm:
    case MTL::PixelFormat::RG16Unorm:
    case MTL::PixelFormat::RGBA16Unorm: format = MPS::ImageFeatureChannelFormat::Unorm16; break;
    case MTL::PixelFormat::R16Float:
    case MTL::PixelFormat::RG16Float:
    case MTL::PixelFormat::RGBA16Float: format = MPS::ImageFeatureChannelFormat::Float16; break;
    default: format = MPS::ImageFeatureChannelFormat::Float32;
    }
    MPS::ImageDescriptor d(format, texture.width(), texture.height(), featureChannels,
                           texture.arrayLength() / slices, texture.usage());
    d.setStorage(MPS::ImageStorage::Texture);
    d.setStorageMode(texture.storageMode());
    return d;
}

} // namespace mpsvk::mps
