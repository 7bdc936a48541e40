// MTLCommandQueue: runs its command buffers in the order in which they were enqueued.
#pragma once

#include <mpsvk/MTL/Device.hpp>

namespace mpsvk::MTL {

class CommandBuffer;

/// Runs the command buffers made from it in the order in which they were committed or enqueued.
/// MTLCommandQueue.
class CommandQueue : public Object {
public:
    CommandQueue() = default;
    std::string label() const;
    void setLabel(const std::string& label) const;
    Device device() const;

    /// A new command buffer. Waits while as many buffers as the queue allows are uncompleted.
    /// Thread safe.
    CommandBuffer commandBuffer() const;
    /// The same: every command buffer keeps what it was given.
    CommandBuffer commandBufferWithUnretainedReferences() const;

    static bool isKindOf(const detail::ObjectImpl&);
    struct Impl;
    Impl& impl() const;
    explicit CommandQueue(std::shared_ptr<Impl> impl);
};

} // namespace mpsvk::MTL
