// The object behind MTL::CommandEncoder.
#pragma once

#include "mtl/CommandBuffer.hpp"

#include <mpsvk/MTL/CommandEncoder.hpp>
#include <mpsvk/MTL/Resource.hpp>

#include <vector>

namespace mpsvk::MTL {

struct CommandEncoder::Impl : detail::ObjectImpl {
    /// Opens an encoder; throws InvalidArgument when another one is open.
    Impl(std::shared_ptr<CommandBuffer::Impl> commandBuffer, const char* type);

    /// "[ComputeCommandEncoder "label"] <method> ".
    std::string who(std::string_view method) const;
    /// Throws InvalidArgument when the encoder is ended.
    vk::CommandList& list(std::string_view method) const;
    /// Throws InvalidArgument for an empty handle or another device's.
    void check(const Resource& resource, std::string_view method, const char* what) const;
    void updateFence(const Fence& fence);
    void waitForFence(const Fence& fence) const;

    const std::shared_ptr<CommandBuffer::Impl> commandBuffer;
    const char* const type;
    std::string label;
    bool ended = false;
    size_t openGroups = 0;
    std::vector<Fence> updated;
};

} // namespace mpsvk::MTL
