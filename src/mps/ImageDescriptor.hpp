// What descriptors of images and of textures ask of the memory behind an image.
#pragma once

#include "mps/Image.hpp"
#include "mtl/Texture.hpp"

namespace mpsvk::mps {

/// Memory for so many images of a descriptor.
ImageStorage::Shape shapeOf(const MPS::ImageDescriptor& descriptor, uint64_t images);
/// With Automatic storage decided. Throws InvalidArgument for what no image can be; `who` is the
/// class that is made.
MPS::ImageDescriptor checkedDescriptor(const char* who, MPS::ImageDescriptor descriptor);
/// Throws InvalidArgument unless an image that is not temporary can lie there.
void checkStorageMode(const MPS::ImageDescriptor& descriptor);

uint32_t componentsOf(MTL::PixelFormat format);
/// Throws InvalidArgument when slices of the texture hold too few channels.
void checkComponents(const ImageStorage::Shape& shape, MTL::PixelFormat format,
                     uint64_t featureChannels);
/// What a texture holds: as many images as there are groups of slices for them. Throws
/// InvalidArgument when these do not come out even.
MPS::ImageDescriptor descriptorOf(const char* who, const MTL::TextureDescriptor& texture,
                                  uint64_t featureChannels);

} // namespace mpsvk::mps
