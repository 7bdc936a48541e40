// The object behind MTL::Heap: one buffer, and books of which bytes are taken.
#pragma once

#include "mtl/Device.hpp"
#include "vk/Memory.hpp"

#include <mpsvk/MTL/Buffer.hpp>
#include <mpsvk/MTL/Heap.hpp>
#include <mpsvk/MTL/Texture.hpp>

#include <map>
#include <mutex>
#include <optional>

namespace mpsvk::MTL {

struct Heap::Impl : detail::ObjectImpl, std::enable_shared_from_this<Heap::Impl> {
    Impl(Device device, HeapDescriptor descriptor, std::shared_ptr<vk::Buffer> memory)
        : device(std::move(device)), descriptor(std::move(descriptor)), memory(std::move(memory)) {}

    /// The bytes of one resource; they are free again when it goes, or before by `release`.
    class Claim;
    /// `offset` in a placement heap. Throws what Heap::newBuffer throws; `what` is for the
    /// sentence.
    std::shared_ptr<Claim> claim(uint64_t size, uint64_t alignment, std::optional<uint64_t> offset,
                                 const std::string& what);
    Buffer newBuffer(uint64_t length, ResourceOptions options, std::optional<uint64_t> offset);
    Texture newTexture(const TextureDescriptor& descriptor, std::optional<uint64_t> offset);
    uint64_t maxAvailable(uint64_t alignment) const;
    std::string who() const;

    const Device device; // first, so that it goes last
    const HeapDescriptor descriptor;
    const std::shared_ptr<vk::Buffer> memory;
    mutable std::mutex mutex;
    std::string label;
    PurgeableState purgeable = PurgeableState::NonVolatile;
    std::map<uint64_t, uint64_t> taken; ///< begin to end; of an automatic heap
    uint64_t used = 0, textureBytes = 0;

private:
    ResourceOptions checkOptions(ResourceOptions options, const std::string& what) const;
    void adopt(Resource::Impl& resource, const std::shared_ptr<Claim>& claim);
};

} // namespace mpsvk::MTL
