// MTLBlitCommandEncoder: copies and fills.
#pragma once

#include <mpsvk/MTL/Buffer.hpp>
#include <mpsvk/MTL/CommandEncoder.hpp>
#include <mpsvk/MTL/Event.hpp>
#include <mpsvk/MTL/Texture.hpp>

namespace mpsvk::MTL {

/// Every method throws InvalidArgument for an empty handle, for another device's resource and for
/// bytes or texels that are not there. MTLBlitCommandEncoder.
class BlitCommandEncoder : public CommandEncoder {
public:
    BlitCommandEncoder() = default;

    /// Kept for ported code: what the GPU wrote reaches the host with the command buffer's
    /// completion.
    void synchronizeResource(const Resource& resource) const;
    void synchronizeTexture(const Texture& texture, uint64_t slice, uint64_t level) const;

    /// `size` bytes. Within one buffer the two ranges must not overlap.
    void copyFromBuffer(const Buffer& source, uint64_t sourceOffset, const Buffer& destination,
                        uint64_t destinationOffset, uint64_t size) const;
    /// Rows of texels, `sourceBytesPerRow` bytes apart (a multiple of the texel's bytes), into one
    /// slice. `sourceBytesPerImage` is for 3D textures and means nothing here.
    void copyFromBuffer(const Buffer& source, uint64_t sourceOffset, uint64_t sourceBytesPerRow,
                        uint64_t sourceBytesPerImage, Size sourceSize, const Texture& destination,
                        uint64_t destinationSlice, uint64_t destinationLevel,
                        Origin destinationOrigin) const;
    void copyFromTexture(const Texture& source, uint64_t sourceSlice, uint64_t sourceLevel,
                         Origin sourceOrigin, Size sourceSize, const Buffer& destination,
                         uint64_t destinationOffset, uint64_t destinationBytesPerRow,
                         uint64_t destinationBytesPerImage) const;
    /// Every byte of `range`; its location and length must be multiples of 4.
    void fillBuffer(const Buffer& buffer, Range range, uint8_t value) const;

    /// Always satisfied, see Fence. Waiting for a fence after updating it in the same encoder
    /// throws.
    void updateFence(const Fence& fence) const;
    void waitForFence(const Fence& fence) const;

    static bool isKindOf(const detail::ObjectImpl&);
    struct Impl;
    Impl& impl() const;
    explicit BlitCommandEncoder(std::shared_ptr<Impl> impl);
};

} // namespace mpsvk::MTL
