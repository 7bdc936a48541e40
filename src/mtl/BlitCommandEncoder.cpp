#include <mpsvk/MTL/BlitCommandEncoder.hpp>

#include "mtl/Buffer.hpp"
#include "mtl/CommandEncoder.hpp"
#include "mtl/Texture.hpp"

#include <mpsvk/Error.hpp>

namespace mpsvk::MTL {

struct BlitCommandEncoder::Impl : CommandEncoder::Impl {
    explicit Impl(std::shared_ptr<CommandBuffer::Impl> buffer)
        : CommandEncoder::Impl(std::move(buffer), "BlitCommandEncoder") {}

    /// Checks the handle and that the bytes are there.
    vk::BufferSlice slice(const Buffer& buffer, uint64_t offset, uint64_t size,
                          std::string_view method, const char* what) const {
        check(buffer, method, what);
        if (offset > buffer.length() || size > buffer.length() - offset)
            throw InvalidArgument(who(method) + "was given " + std::to_string(size) +
                                  " bytes from byte " + std::to_string(offset) + " on of " + what +
                                  " of " + std::to_string(buffer.length()) + " bytes.");
        vk::BufferSlice slice = buffer.impl().slice;
        slice.offset += offset;
        slice.size = size;
        return slice;
    }

    /// The buffer's side of a copy to or from a texture, checked with the texture's side.
    vk::BufferSlice texels(const Buffer& buffer, uint64_t offset, uint64_t bytesPerRow,
                           const Texture& texture, const Region& region, uint64_t level,
                           uint64_t slice, std::string_view method) const {
        check(texture, method, "a texture");
        checkRegion(texture.impl(), region, level, slice, who(method));
        const uint64_t texel = bytesPerPixel(texture.pixelFormat());
        const uint64_t row = region.size.width * texel;
        if (bytesPerRow < row || bytesPerRow % texel || bytesPerRow / texel > UINT32_MAX)
            throw InvalidArgument(who(method) + "was given " + std::to_string(bytesPerRow) +
                                  " bytes per row but they must be a multiple of " +
                                  std::to_string(texel) + " and at least " + std::to_string(row) +
                                  ".");
        if (offset % texel || offset % 4)
            throw InvalidArgument(who(method) + "was given the buffer offset " +
                                  std::to_string(offset) + " but it must be a multiple of " +
                                  std::to_string(texel) + " and of 4.");
        return this->slice(buffer, offset, (region.size.height - 1) * bytesPerRow + row, method,
                           "a buffer");
    }
};

BlitCommandEncoder CommandBuffer::blitCommandEncoder() const {
    return BlitCommandEncoder(
        std::make_shared<BlitCommandEncoder::Impl>(impl().shared_from_this()));
}

BlitCommandEncoder::BlitCommandEncoder(std::shared_ptr<Impl> impl)
    : CommandEncoder(std::move(impl)) {}

BlitCommandEncoder::Impl& BlitCommandEncoder::impl() const {
    if (!impl_) throw InvalidArgument("[BlitCommandEncoder] The encoder handle is empty.");
    return static_cast<Impl&>(*impl_);
}

bool BlitCommandEncoder::isKindOf(const detail::ObjectImpl& object) {
    return dynamic_cast<const Impl*>(&object) != nullptr;
}

void BlitCommandEncoder::synchronizeResource(const Resource& resource) const {
    impl().list("synchronizeResource");
    impl().check(resource, "synchronizeResource", "a resource");
}

void BlitCommandEncoder::synchronizeTexture(const Texture& texture, uint64_t slice,
                                            uint64_t level) const {
    impl().list("synchronizeTexture");
    impl().check(texture, "synchronizeTexture", "a texture");
    checkRegion(texture.impl(), RegionMake2D(0, 0, texture.width(), texture.height()), level, slice,
                impl().who("synchronizeTexture"));
}

void BlitCommandEncoder::copyFromBuffer(const Buffer& source, uint64_t sourceOffset,
                                        const Buffer& destination, uint64_t destinationOffset,
                                        uint64_t size) const {
    auto& list = impl().list("copyFromBuffer");
    const auto from = impl().slice(source, sourceOffset, size, "copyFromBuffer", "a source");
    const auto to =
        impl().slice(destination, destinationOffset, size, "copyFromBuffer", "a destination");
    if (from.buffer->handle() == to.buffer->handle() && from.begin() < to.end() &&
        to.begin() < from.end())
        throw InvalidArgument(impl().who("copyFromBuffer") + "was given " + std::to_string(size) +
                              " bytes to copy from byte " + std::to_string(sourceOffset) +
                              " to byte " + std::to_string(destinationOffset) +
                              " of the same memory: the ranges overlap.");
    list.copy(from, to);
}

void BlitCommandEncoder::copyFromBuffer(const Buffer& source, uint64_t sourceOffset,
                                        uint64_t sourceBytesPerRow, uint64_t, Size sourceSize,
                                        const Texture& destination, uint64_t destinationSlice,
                                        uint64_t destinationLevel, Origin destinationOrigin) const {
    auto& list = impl().list("copyFromBuffer");
    const Region region{destinationOrigin, sourceSize};
    const auto from = impl().texels(source, sourceOffset, sourceBytesPerRow, destination, region,
                                    destinationLevel, destinationSlice, "copyFromBuffer");
    list.copy(from, destination.impl().texture,
              copyRegion(destination.impl(), region, destinationSlice, sourceBytesPerRow));
}

void BlitCommandEncoder::copyFromTexture(const Texture& source, uint64_t sourceSlice,
                                         uint64_t sourceLevel, Origin sourceOrigin, Size sourceSize,
                                         const Buffer& destination, uint64_t destinationOffset,
                                         uint64_t destinationBytesPerRow, uint64_t) const {
    auto& list = impl().list("copyFromTexture");
    const Region region{sourceOrigin, sourceSize};
    const auto to = impl().texels(destination, destinationOffset, destinationBytesPerRow, source,
                                  region, sourceLevel, sourceSlice, "copyFromTexture");
    list.copy(source.impl().texture, to,
              copyRegion(source.impl(), region, sourceSlice, destinationBytesPerRow));
}

void BlitCommandEncoder::fillBuffer(const Buffer& buffer, Range range, uint8_t value) const {
    auto& list = impl().list("fillBuffer");
    const auto slice = impl().slice(buffer, range.location, range.length, "fillBuffer", "a buffer");
    if (range.location % 4 || range.length % 4)
        throw InvalidArgument(impl().who("fillBuffer") + "was given " +
                              std::to_string(range.length) + " bytes from byte " +
                              std::to_string(range.location) +
                              " on but both must be multiples of 4.");
    list.fill(slice, value * 0x01010101u);
}

void BlitCommandEncoder::updateFence(const Fence& fence) const { impl().updateFence(fence); }
void BlitCommandEncoder::waitForFence(const Fence& fence) const { impl().waitForFence(fence); }

} // namespace mpsvk::MTL
