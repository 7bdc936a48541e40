// MTLBuffer: bytes on the device.
#pragma once

#include <mpsvk/MTL/Resource.hpp>

namespace mpsvk::MTL {

/// Memory of the device. MTLBuffer.
class Buffer : public Resource {
public:
    Buffer() = default;
    uint64_t length() const;
    /// The bytes themselves, mapped for as long as the buffer lives; empty for private storage.
    /// What the GPU wrote is there once its command buffer is completed.
    std::span<std::byte> contents() const;
    /// Host memory is coherent here; the range is checked and nothing else happens.
    void didModifyRange(Range range) const;
    /// A texture has its own memory in Vulkan: this copy-free view does not exist.
    Texture newTexture(const TextureDescriptor&, uint64_t offset,
                       uint64_t bytesPerRow) const = delete;

    static bool isKindOf(const detail::ObjectImpl&);
    struct Impl;
    Impl& impl() const;
    explicit Buffer(std::shared_ptr<Impl> impl);
};

} // namespace mpsvk::MTL
