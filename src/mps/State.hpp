// The object behind MPS::State.
#pragma once

#include "mps/Subject.hpp"
#include "mps/TemporaryHeap.hpp"
#include "mtl/Buffer.hpp"
#include "mtl/CommandBuffer.hpp"

#include <mpsvk/MPS/State.hpp>
#include <mpsvk/MTL/Texture.hpp>

namespace mpsvk::MPS {

struct State::Impl : detail::ObjectImpl {
    explicit Impl(MTL::Device device) : device(std::move(device)) {}
    ~Impl() override;

    /// A buffer or a texture, made at first use. Temporary buffers come from the command buffer's
    /// heap.
    struct Resource {
        uint64_t bufferBytes = 0;
        vk::BufferSlice slice;
        MTL::Resource object;
        std::optional<MTL::TextureDescriptor> texture;
        mps::TemporaryHeap::Range range;
        std::shared_ptr<const void> shared; ///< the allocation that `slice` is a part of
    };

    /// Buffer `index` as kernels bind it, allocated now if need be.
    const vk::BufferSlice& buffer(size_t index);
    MTL::Buffer bufferObject(size_t index);
    size_t addBuffer(uint64_t bytes);
    size_t addBuffer(const MTL::Buffer& buffer);
    /// Ties the state to a command buffer: its buffers come from there and its read count is 1.
    void makeTemporary(const MTL::CommandBuffer& commandBuffer);
    void checkUsable(const mps::Subject& who, const mps::Role& role,
                     const MTL::CommandBuffer& commandBuffer) const;
    void wasRead();
    void setReadCount(uint64_t count);
    virtual ImageDescriptor adjust(const ImageBatch&, const StateBatch&, Kernel&,
                                   const ImageDescriptor& suggested) const {
        return suggested;
    }

    // What each use reads comes first.
    const MTL::Device device;
    std::vector<Resource> resources;
    bool temporary = false, wrapped = false;
    uint64_t readCount = 0;
    uint64_t owner = 0; ///< serial of a temporary state's command buffer
    std::shared_ptr<mps::TemporaryHeap> heap;
    std::string label;
};

/// Lowers the read counts after an encode, once per object.
void markRead(const StateBatch& states);

/// Adds a buffer of `bytes` to each state: parts of one allocation at equal distances, so that one
/// dispatch serves the batch. A multiple of vk::Memory::alignment keeps every part bindable. With a
/// command buffer the states become temporary ones of it.
void addBatchBuffer(const StateBatch& states, uint64_t bytes, MTL::ResourceOptions options,
                    const MTL::CommandBuffer* temporary);

} // namespace mpsvk::MPS
