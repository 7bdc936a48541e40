#include <mpsvk/MTL/ComputeCommandEncoder.hpp>

#include "mtl/Buffer.hpp"
#include "mtl/CommandEncoder.hpp"
#include "mtl/Library.hpp"
#include "mtl/Texture.hpp"

#include <mpsvk/Error.hpp>

#include <algorithm>
#include <array>
#include <cstring>

namespace mpsvk::MTL {

namespace {
constexpr uint64_t indexCount = 32;
constexpr uint64_t mostBytes = 4096;
constexpr uint32_t firstTextureBinding = 32;
} // namespace

struct ComputeCommandEncoder::Impl : CommandEncoder::Impl {
    Impl(std::shared_ptr<CommandBuffer::Impl> buffer, DispatchType dispatchType)
        : CommandEncoder::Impl(std::move(buffer), "ComputeCommandEncoder"),
          dispatchType(dispatchType) {}

    struct Bound {
        vk::BufferSlice slice; ///< from the offset to the end; empty when nothing is bound
        uint64_t length = 0;   ///< of the whole buffer
        uint64_t offset = 0;
        bool bytes = false; ///< by setBytes
    };

    void checkIndex(uint64_t index, std::string_view method) const {
        if (index >= indexCount)
            throw InvalidArgument(who(method) + "was given index " + std::to_string(index) +
                                  " but the largest is 31.");
    }

    Bound bind(const Buffer& buffer, uint64_t offset, uint64_t index,
               std::string_view method) const {
        checkIndex(index, method);
        if (!buffer) return {};
        check(buffer, method, "a buffer");
        return at({buffer.impl().slice, buffer.length(), 0, false}, offset, method);
    }

    /// `bound`, which begins at offset 0, from `offset` on.
    Bound at(Bound bound, uint64_t offset, std::string_view method) const {
        const vk::Limits& limits = commandBuffer->device.impl().vk->limits();
        const uint64_t alignment = std::max(limits.storageAlignment, limits.uniformAlignment);
        if (offset >= bound.length)
            throw InvalidArgument(who(method) + "was given offset " + std::to_string(offset) +
                                  " of a buffer of " + std::to_string(bound.length) + " bytes.");
        if (offset % alignment)
            throw InvalidArgument(who(method) + "was given offset " + std::to_string(offset) +
                                  " but it must be a multiple of " + std::to_string(alignment) +
                                  ".");
        bound.offset = offset;
        bound.slice.offset += offset;
        bound.slice.size = bound.length - offset;
        return bound;
    }

    struct Ready {
        std::shared_ptr<vk::Pipeline> pipeline;
        std::vector<vk::Binding> bindings;
    };

    /// Everything that a dispatch checks, but its group counts.
    Ready prepare(Size threads, std::string_view method) const {
        if (!pipeline)
            throw InvalidArgument(who(method) + "was called before setComputePipelineState.");
        auto& state = pipeline.impl();
        Ready ready{state.pipeline(threads, who(method)), {}};
        for (const vk::ReflectedBinding& wanted : ready.pipeline->reflection().bindings)
            ready.bindings.push_back(wanted.binding < firstTextureBinding
                                         ? bufferFor(wanted, state, method)
                                         : textureFor(wanted, state, method));
        return ready;
    }

    vk::Binding bufferFor(const vk::ReflectedBinding& wanted,
                          const ComputePipelineState::Impl& state, std::string_view method) const {
        const Bound& bound = buffers[wanted.binding];
        if (!bound.slice)
            throw InvalidArgument(who(method) + "was called but nothing is bound at buffer index " +
                                  std::to_string(wanted.binding) + ", which the kernel \"" +
                                  state.label + "\" uses.");
        const auto& limits = commandBuffer->device.impl().vk->properties().limits;
        const bool uniform = wanted.type == VK_DESCRIPTOR_TYPE_UNIFORM_BUFFER;
        if (bound.bytes && wanted.writes)
            throw InvalidArgument(
                who(method) + "was called but buffer index " + std::to_string(wanted.binding) +
                ", which the kernel \"" + state.label +
                "\" writes, is bound by setBytes; declare the block readonly or bind "
                "a buffer.");
        vk::BufferSlice slice = bound.slice;
        // A std140 block ends on a multiple of 16; the bytes were allocated so.
        if (uniform && bound.bytes) slice.size = vk::roundUp(slice.size, 16);
        slice.size = std::min<uint64_t>(slice.size, uniform ? limits.maxUniformBufferRange
                                                            : limits.maxStorageBufferRange);
        return vk::Binding::buffer(wanted.binding, slice);
    }

    vk::Binding textureFor(const vk::ReflectedBinding& wanted,
                           const ComputePipelineState::Impl& state, std::string_view method) const {
        const uint32_t index = wanted.binding - firstTextureBinding;
        if (index >= indexCount || !textures[index])
            throw InvalidArgument(who(method) + "was called but no texture is bound at index " +
                                  std::to_string(index) + ", which the kernel \"" + state.label +
                                  "\" uses.");
        const Texture& texture = textures[index];
        if (wanted.writes &&
            (texture.usage() & TextureUsage::ShaderWrite) != TextureUsage::ShaderWrite)
            throw InvalidArgument(who(method) + "was called but the texture at index " +
                                  std::to_string(index) + ", which the kernel \"" + state.label +
                                  "\" writes, was made without TextureUsage::ShaderWrite.");
        return vk::Binding::image(wanted.binding, texture.impl().texture);
    }

    /// Records `groups` threadgroups; `grid` is for the kernel's push constants.
    void dispatch(const std::array<uint64_t, 3>& groups, const std::array<uint64_t, 3>& grid,
                  Size threads, std::string_view method) const {
        auto& commands = list(method);
        Ready ready = prepare(threads, method);
        const auto& limits = commandBuffer->device.impl().vk->properties().limits;
        std::array<uint32_t, 3> counts{}, gridWords{};
        for (int i = 0; i < 3; ++i) {
            if (groups[i] == 0 || groups[i] > limits.maxComputeWorkGroupCount[i])
                throw InvalidArgument(who(method) + "was given " + std::to_string(groups[i]) +
                                      " threadgroups in dimension " + std::to_string(i) +
                                      " but the device takes 1 to " +
                                      std::to_string(limits.maxComputeWorkGroupCount[i]) + ".");
            counts[i] = uint32_t(groups[i]);
            gridWords[i] = uint32_t(grid[i]);
        }
        const bool wantsGrid = ready.pipeline->reflection().pushConstantBytes != 0;
        commands.dispatch(ready.pipeline, ready.bindings, {}, counts, {},
                          wantsGrid ? std::as_bytes(std::span(gridWords))
                                    : std::span<const std::byte>());
    }

    const DispatchType dispatchType;
    ComputePipelineState pipeline;
    std::array<Bound, indexCount> buffers;
    std::array<Texture, indexCount> textures;
};

ComputeCommandEncoder CommandBuffer::computeCommandEncoder() const {
    return computeCommandEncoder(DispatchType::Serial);
}

ComputeCommandEncoder CommandBuffer::computeCommandEncoder(DispatchType type) const {
    return ComputeCommandEncoder(
        std::make_shared<ComputeCommandEncoder::Impl>(impl().shared_from_this(), type));
}

ComputeCommandEncoder::ComputeCommandEncoder(std::shared_ptr<Impl> impl)
    : CommandEncoder(std::move(impl)) {}

ComputeCommandEncoder::Impl& ComputeCommandEncoder::impl() const {
    if (!impl_) throw InvalidArgument("[ComputeCommandEncoder] The encoder handle is empty.");
    return static_cast<Impl&>(*impl_);
}

bool ComputeCommandEncoder::isKindOf(const detail::ObjectImpl& object) {
    return dynamic_cast<const Impl*>(&object) != nullptr;
}

DispatchType ComputeCommandEncoder::dispatchType() const { return impl().dispatchType; }

void ComputeCommandEncoder::setComputePipelineState(const ComputePipelineState& state) const {
    impl().list("setComputePipelineState");
    checkSameDevice(state.device(), device(),
                    subject("ComputeCommandEncoder", label()) + "setComputePipelineState",
                    "a pipeline");
    impl().pipeline = state;
}

void ComputeCommandEncoder::setBytes(std::span<const std::byte> bytes, uint64_t index) const {
    impl().list("setBytes");
    impl().checkIndex(index, "setBytes");
    if (bytes.empty() || bytes.size() > mostBytes)
        throw InvalidArgument(impl().who("setBytes") + "was given " + std::to_string(bytes.size()) +
                              " bytes but it takes 1 to 4096.");
    const uint64_t rounded = vk::roundUp(bytes.size(), 16);
    const auto memory = device().impl().vk->memory().allocate(rounded, vk::MemoryKind::Shared);
    std::memset(memory->mapped(), 0, rounded);
    std::memcpy(memory->mapped(), bytes.data(), bytes.size());
    impl().buffers[index] = {{memory, 0, bytes.size()}, bytes.size(), 0, true};
}

void ComputeCommandEncoder::setBuffer(const Buffer& buffer, uint64_t offset, uint64_t index) const {
    impl().list("setBuffer");
    auto bound = impl().bind(buffer, offset, index, "setBuffer");
    impl().buffers[index] = std::move(bound);
}

void ComputeCommandEncoder::setBufferOffset(uint64_t offset, uint64_t index) const {
    impl().list("setBufferOffset");
    impl().checkIndex(index, "setBufferOffset");
    auto& bound = impl().buffers[index];
    if (!bound.slice)
        throw InvalidArgument(impl().who("setBufferOffset") +
                              "was called but nothing is bound at buffer index " +
                              std::to_string(index) + ".");
    auto start = bound;
    start.slice.offset -= bound.offset;
    bound = impl().at(start, offset, "setBufferOffset");
}

void ComputeCommandEncoder::setBuffers(std::span<const Buffer> buffers,
                                       std::span<const uint64_t> offsets, Range range) const {
    impl().list("setBuffers");
    if (buffers.size() != range.length || offsets.size() != range.length)
        throw InvalidArgument(impl().who("setBuffers") + "was given " +
                              std::to_string(buffers.size()) + " buffers and " +
                              std::to_string(offsets.size()) + " offsets for a range of " +
                              std::to_string(range.length) + ".");
    std::vector<Impl::Bound> bound;
    for (uint64_t i = 0; i < range.length; ++i)
        bound.push_back(impl().bind(buffers[i], offsets[i], range.location + i, "setBuffers"));
    for (uint64_t i = 0; i < range.length; ++i)
        impl().buffers[range.location + i] = std::move(bound[i]);
}

void ComputeCommandEncoder::setTexture(const Texture& texture, uint64_t index) const {
    setTextures(std::span(&texture, 1), {index, 1});
}

void ComputeCommandEncoder::setTextures(std::span<const Texture> textures, Range range) const {
    impl().list("setTextures");
    if (textures.size() != range.length)
        throw InvalidArgument(impl().who("setTextures") + "was given " +
                              std::to_string(textures.size()) + " textures for a range of " +
                              std::to_string(range.length) + ".");
    for (uint64_t i = 0; i < range.length; ++i) {
        impl().checkIndex(range.location + i, "setTexture");
        if (textures[i]) impl().check(textures[i], "setTexture", "a texture");
    }
    for (uint64_t i = 0; i < range.length; ++i) impl().textures[range.location + i] = textures[i];
}

void ComputeCommandEncoder::setThreadgroupMemoryLength(uint64_t length, uint64_t index) const {
    impl().list("setThreadgroupMemoryLength");
    throw InvalidArgument(
        impl().who("setThreadgroupMemoryLength") + "was given " + std::to_string(length) +
        " bytes for index " + std::to_string(index) +
        " but a GLSL kernel declares its threadgroup memory itself (shared); make "
        "its length a function constant.");
}

void ComputeCommandEncoder::dispatchThreadgroups(Size groups, Size threads) const {
    impl().dispatch({groups.width, groups.height, groups.depth},
                    {groups.width * threads.width, groups.height * threads.height,
                     groups.depth * threads.depth},
                    threads, "dispatchThreadgroups");
}

void ComputeCommandEncoder::dispatchThreads(Size grid, Size threads) const {
    impl().list("dispatchThreads");
    const auto groups = [](uint64_t all, uint64_t each) {
        return each == 0 ? 0 : all / each + (all % each != 0);
    };
    impl().dispatch({groups(grid.width, threads.width), groups(grid.height, threads.height),
                     groups(grid.depth, threads.depth)},
                    {grid.width, grid.height, grid.depth}, threads, "dispatchThreads");
}

void ComputeCommandEncoder::dispatchThreadgroups(const Buffer& buffer, uint64_t offset,
                                                 Size threads) const {
    const char* method = "dispatchThreadgroups";
    auto& commands = impl().list(method);
    impl().check(buffer, method, "a buffer");
    if (offset % 4 || offset > buffer.length() || buffer.length() - offset < 12)
        throw InvalidArgument(impl().who(method) + "was given offset " + std::to_string(offset) +
                              " of a buffer of " + std::to_string(buffer.length()) +
                              " bytes but 12 bytes from a multiple of 4 on are needed.");
    auto ready = impl().prepare(threads, method);
    if (ready.pipeline->reflection().pushConstantBytes)
        throw InvalidArgument(impl().who(method) +
                              "was given a buffer of group counts but the kernel \"" +
                              impl().pipeline.label() +
                              "\" wants its grid in push constants, which the host does not know.");
    vk::BufferSlice arguments = buffer.impl().slice;
    arguments.offset += offset;
    arguments.size = 12;
    commands.dispatchIndirect(ready.pipeline, ready.bindings, {}, arguments);
}

void ComputeCommandEncoder::updateFence(const Fence& fence) const { impl().updateFence(fence); }
void ComputeCommandEncoder::waitForFence(const Fence& fence) const { impl().waitForFence(fence); }
void ComputeCommandEncoder::memoryBarrier(BarrierScope) const { impl().list("memoryBarrier"); }

void ComputeCommandEncoder::memoryBarrier(std::span<const Resource> resources) const {
    impl().list("memoryBarrier");
    for (const Resource& resource : resources)
        impl().check(resource, "memoryBarrier", "a resource");
}

void ComputeCommandEncoder::useResource(const Resource& resource, ResourceUsage usage) const {
    useResources(std::span(&resource, 1), usage);
}

void ComputeCommandEncoder::useResources(std::span<const Resource> resources, ResourceUsage) const {
    auto& commands = impl().list("useResource");
    for (const Resource& resource : resources) impl().check(resource, "useResource", "a resource");
    for (const Resource& resource : resources) commands.retain(resource.shared());
}

void ComputeCommandEncoder::useHeap(const Heap& heap) const {
    auto& commands = impl().list("useHeap");
    checkSameDevice(heap.device(), device(), subject("ComputeCommandEncoder", label()) + "useHeap",
                    "a heap");
    commands.retain(heap.shared());
}

} // namespace mpsvk::MTL
