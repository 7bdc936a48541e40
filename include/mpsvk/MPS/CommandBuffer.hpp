// MPSCommandBuffer: a command buffer that can be committed part of the way and encoded on.
#pragma once

#include <mpsvk/MTL/CommandBuffer.hpp>

#include <cstddef>

namespace mpsvk::MPS {

/// Stands for another command buffer, its root, wherever an MTL::CommandBuffer is asked for.
/// Copying the handle shares the wrapper. MPSCommandBuffer.
class CommandBuffer : public MTL::CommandBuffer {
public:
    CommandBuffer() = default;
    /// Wraps a fresh command buffer of `queue`.
    explicit CommandBuffer(const MTL::CommandQueue& queue);
    /// Wraps `commandBuffer`, which may be a wrapper itself.
    explicit CommandBuffer(const MTL::CommandBuffer& commandBuffer);

    /// What this wraps.
    MTL::CommandBuffer commandBuffer() const;
    /// The innermost command buffer: the one that commitAndContinue commits.
    MTL::CommandBuffer rootCommandBuffer() const;

    /// Commits the root and goes on in a new one of the same queue, so that the GPU starts while
    /// the rest is encoded. Temporary images, states and matrices stay valid, with their contents
    /// and read counts. Handlers, label, status and times stay with the old root: take
    /// rootCommandBuffer() before to wait for it. Throws what commit throws; then nothing changes.
    void commitAndContinue() const;

    /// HintTemporaryMemoryHighWaterMark of this command buffer.
    void prefetchHeapForWorkloadSize(size_t bytes) const;

    static bool isKindOf(const detail::ObjectImpl&);
    struct Wrapper;

private:
    Wrapper& wrapper() const;
};

/// Makes sure that temporary objects of `bytes` in total fit into memory held already, so that no
/// allocation falls between kernels. `bytes` is the most that lives at the same time. More is
/// allocated when it is needed. Throws InvalidArgument after commit, DeviceError for more than the
/// device has.
void HintTemporaryMemoryHighWaterMark(const MTL::CommandBuffer& commandBuffer, size_t bytes);
/// How many seconds the memory of the command buffer's temporary objects is kept for other command
/// buffers of the device, while none of them uses it; NaN and less than 0 count as 0. By default it
/// is kept for good. Memory whose time is over is given back to the driver when a command buffer
/// takes or returns such memory, this one as well: with 0 when it completes. Throws InvalidArgument
/// after commit.
void SetHeapCacheDuration(const MTL::CommandBuffer& commandBuffer, double seconds);

} // namespace mpsvk::MPS
