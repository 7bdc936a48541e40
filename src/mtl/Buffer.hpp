// The object behind MTL::Buffer.
#pragma once

#include "mtl/Resource.hpp"

#include <mpsvk/MTL/Buffer.hpp>

namespace mpsvk::MTL {

struct Buffer::Impl : Resource::Impl {
    Impl(Device device, ResourceOptions options, vk::BufferSlice slice)
        : Resource::Impl(std::move(device), options), slice(std::move(slice)) {}
    uint64_t bytes() const override { return slice.size; }

    vk::BufferSlice slice;
};

} // namespace mpsvk::MTL
