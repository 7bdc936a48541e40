// MTLComputeCommandEncoder: runs the user's own kernels.
#pragma once

#include <mpsvk/MTL/Buffer.hpp>
#include <mpsvk/MTL/CommandBuffer.hpp>
#include <mpsvk/MTL/CommandEncoder.hpp>
#include <mpsvk/MTL/ComputePipeline.hpp>
#include <mpsvk/MTL/Event.hpp>
#include <mpsvk/MTL/Heap.hpp>
#include <mpsvk/MTL/Texture.hpp>

namespace mpsvk::MTL {

/// What useResource is told; bits.
enum class ResourceUsage : uint64_t { Read = 1, Write = 2, Sample = 4 };
constexpr ResourceUsage operator|(ResourceUsage a, ResourceUsage b) {
    return ResourceUsage(uint64_t(a) | uint64_t(b));
}

/// What memoryBarrier is told; bits.
enum class BarrierScope : uint64_t { Buffers = 1, Textures = 2 };
constexpr BarrierScope operator|(BarrierScope a, BarrierScope b) {
    return BarrierScope(uint64_t(a) | uint64_t(b));
}

/// Bindings stay until they are replaced, for the encoder's life. How a kernel finds them is said
/// in MTL/Library.hpp. Whatever the dispatch type, a dispatch that reads or writes what an earlier
/// one wrote waits for it, and those that share nothing run side by side.
/// MTLComputeCommandEncoder.
class ComputeCommandEncoder : public CommandEncoder {
public:
    ComputeCommandEncoder() = default;
    DispatchType dispatchType() const;
    void setComputePipelineState(const ComputePipelineState& state) const;

    /// A copy of at most 4096 bytes; replaces the buffer at that index.
    void setBytes(std::span<const std::byte> bytes, uint64_t index) const;
    /// Indices go from 0 to 31. `offset` must be a multiple of the device's buffer alignment (at
    /// most 256). An empty handle unbinds.
    void setBuffer(const Buffer& buffer, uint64_t offset, uint64_t index) const;
    /// Throws InvalidArgument when no buffer is bound at that index.
    void setBufferOffset(uint64_t offset, uint64_t index) const;
    /// buffers[i] at index range.location + i; the three lengths must be equal.
    void setBuffers(std::span<const Buffer> buffers, std::span<const uint64_t> offsets,
                    Range range) const;
    void setTexture(const Texture& texture, uint64_t index) const;
    void setTextures(std::span<const Texture> textures, Range range) const;
    /// Always throws InvalidArgument: GLSL declares its threadgroup memory (`shared`), whose length
    /// may be a function constant; there is no index to give a length to.
    void setThreadgroupMemoryLength(uint64_t length, uint64_t index) const;

    /// Before anything is recorded, every dispatch checks: a pipeline, a resource of the right kind
    /// at each binding that the kernel has, the threads of a threadgroup (see ComputePipelineState)
    /// and the device's limits. Otherwise it throws InvalidArgument.
    void dispatchThreadgroups(Size threadgroupsPerGrid, Size threadsPerThreadgroup) const;
    /// As many whole threadgroups as cover the grid: a kernel whose grid is not a multiple of its
    /// threadgroup compares its position with the grid, which it finds in its push constants.
    void dispatchThreads(Size threadsPerGrid, Size threadsPerThreadgroup) const;
    /// The number of threadgroups stands in `buffer` as three uint32 at `offset`, a multiple of 4.
    /// A kernel that wants the grid in push constants cannot be dispatched so.
    void dispatchThreadgroups(const Buffer& buffer, uint64_t offset,
                              Size threadsPerThreadgroup) const;

    /// Always satisfied, see Fence. Waiting for a fence after updating it in the same encoder
    /// throws.
    void updateFence(const Fence& fence) const;
    void waitForFence(const Fence& fence) const;
    /// Barriers are placed where commands need them; asking for one changes nothing.
    void memoryBarrier(BarrierScope scope) const;
    void memoryBarrier(std::span<const Resource> resources) const;
    /// Keeps the resource alive until the command buffer is completed. Kernels here reach nothing
    /// but what is bound, so there is nothing else to declare.
    void useResource(const Resource& resource, ResourceUsage usage) const;
    void useResources(std::span<const Resource> resources, ResourceUsage usage) const;
    void useHeap(const Heap& heap) const;

    static bool isKindOf(const detail::ObjectImpl&);
    struct Impl;
    Impl& impl() const;
    explicit ComputeCommandEncoder(std::shared_ptr<Impl> impl);
};

} // namespace mpsvk::MTL
