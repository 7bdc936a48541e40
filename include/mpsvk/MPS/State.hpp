// MPSState: what a kernel leaves for another one to read.
#pragma once

#include <mpsvk/MPS/Image.hpp>
#include <mpsvk/MTL/Buffer.hpp>

#include <initializer_list>

namespace mpsvk::MPS {

class State;
using StateBatch = std::vector<State>;

enum class StateResourceType : uint64_t { None = 0, Buffer = 1, Texture = 2 };

struct StateTextureInfo {
    uint64_t width = 0, height = 0, depth = 0, arrayLength = 0;
    MTL::PixelFormat pixelFormat = MTL::PixelFormat::Invalid;
    MTL::TextureType textureType = MTL::TextureType::Type1D;
    MTL::TextureUsage usage = MTL::TextureUsage::Unknown;
};

/// MPSStateResourceList: textures come first, then buffers, each in the order of the appends.
class StateResourceList {
public:
    StateResourceList() = default;
    explicit StateResourceList(std::initializer_list<MTL::TextureDescriptor> textures)
        : textures(textures) {}
    explicit StateResourceList(std::initializer_list<uint64_t> bufferSizes)
        : bufferSizes(bufferSizes) {}
    void appendTexture(const MTL::TextureDescriptor& descriptor) { textures.push_back(descriptor); }
    void appendBuffer(uint64_t bytes) { bufferSizes.push_back(bytes); }

    std::vector<MTL::TextureDescriptor> textures;
    std::vector<uint64_t> bufferSizes;
};

/// What one kernel leaves for another one: buffers and textures, made at first use, and whatever a
/// subclass adds. A temporary state's memory is its command buffer's, and given back when its read
/// count is 0: an encode that reads it lowers the count by 1. Throws InvalidArgument for buffers of
/// 0 bytes, for no resources, and for the use of a temporary state whose count is 0. MPSState.
class State : public Object {
public:
    State() = default;
    State(const MTL::Device& device, uint64_t bufferSize);
    State(const MTL::Device& device, const MTL::TextureDescriptor& descriptor);
    State(const MTL::Device& device, const StateResourceList& resources);
    explicit State(const MTL::Resource& resource);
    explicit State(const std::vector<MTL::Resource>& resources);
    static State temporaryState(const MTL::CommandBuffer& commandBuffer);
    static State temporaryState(const MTL::CommandBuffer& commandBuffer, uint64_t bufferSize);
    static State temporaryState(const MTL::CommandBuffer& commandBuffer,
                                const MTL::TextureDescriptor& descriptor);
    static State temporaryState(const MTL::CommandBuffer& commandBuffer,
                                const StateResourceList& resources);

    uint64_t resourceCount() const;
    /// Empty when not allocated and `allocateMemory` is false.
    MTL::Resource resource(uint64_t index, bool allocateMemory) const;
    uint64_t bufferSize(uint64_t index) const;
    StateTextureInfo textureInfo(uint64_t index) const;
    StateResourceType resourceType(uint64_t index) const;
    /// 1 at first for temporary states, 0 and untouched for others.
    uint64_t readCount() const;
    void setReadCount(uint64_t count) const;
    bool isTemporary() const;
    std::string label() const;
    void setLabel(const std::string& label) const;
    void synchronize(const MTL::CommandBuffer& commandBuffer) const;
    uint64_t resourceSize() const;
    /// What a kernel that reads this state should make of the suggested descriptor.
    ImageDescriptor destinationImageDescriptor(const ImageBatch& sourceImages,
                                               const StateBatch& sourceStates, Kernel& kernel,
                                               const ImageDescriptor& suggested) const;

    static bool isKindOf(const detail::ObjectImpl&);
    struct Impl;
    Impl& impl() const;
    explicit State(std::shared_ptr<Impl> impl);
};

uint64_t StateBatchIncrementReadCount(const StateBatch& batch, int64_t amount);
void StateBatchSynchronize(const StateBatch& batch, const MTL::CommandBuffer& commandBuffer);
uint64_t StateBatchResourceSize(const StateBatch& batch);

} // namespace mpsvk::MPS
