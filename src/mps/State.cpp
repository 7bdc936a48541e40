#include "mps/State.hpp"

#include "mtl/Texture.hpp"
#include "vk/Device.hpp"

#include <mpsvk/Error.hpp>
#include <mpsvk/MPS/Kernel.hpp>

#include <set>

namespace mpsvk::MPS {

State::Impl::~Impl() {
    for (Resource& resource : resources)
        if (resource.range) heap->free(resource.range);
}

size_t State::Impl::addBuffer(uint64_t bytes) {
    resources.emplace_back().bufferBytes = bytes;
    return resources.size() - 1;
}

size_t State::Impl::addBuffer(const MTL::Buffer& buffer) {
    Resource& made = resources.emplace_back();
    made.bufferBytes = buffer.length();
    made.object = buffer;
    made.slice = buffer.impl().slice;
    return resources.size() - 1;
}

const vk::BufferSlice& State::Impl::buffer(size_t index) {
    Resource& resource = resources.at(index);
    if (resource.slice) return resource.slice;
    if (temporary) {
        resource.range = heap->allocate(resource.bufferBytes);
        resource.slice = resource.range.slice;
    } else {
        auto made = device.newBuffer(resource.bufferBytes);
        resource.slice = made.impl().slice;
        resource.object = made;
    }
    return resource.slice;
}

MTL::Buffer State::Impl::bufferObject(size_t index) {
    if (temporary && readCount == 0)
        throw InvalidArgument("[State] A buffer was asked of a temporary state whose read count is "
                              "0: its memory is given back already.");
    const vk::BufferSlice& slice = buffer(index);
    Resource& resource = resources[index];
    if (!resource.object)
        resource.object = MTL::Buffer(std::make_shared<MTL::Buffer::Impl>(
            device, MTL::ResourceOptions::StorageModePrivate, slice));
    return resource.object.as<MTL::Buffer>();
}

void State::Impl::makeTemporary(const MTL::CommandBuffer& commandBuffer) {
    heap = mps::temporaryHeap(commandBuffer);
    owner = commandBuffer.impl().serial;
    temporary = true;
    readCount = 1;
}

void State::Impl::checkUsable(const mps::Subject& who, const mps::Role& role,
                              const MTL::CommandBuffer& commandBuffer) const {
    const auto& commands = commandBuffer.impl();
    if (!(device == commands.device))
        throw InvalidArgument(who + role + " belongs to the device \"" + device.name() +
                              "\" but the command buffer to another one, \"" +
                              commands.device.name() + "\".");
    if (!temporary) return;
    if (readCount == 0)
        throw InvalidArgument(who + role +
                              " is a temporary state whose read count is 0: its memory is given "
                              "back already.");
    if (owner != commands.serial)
        throw InvalidArgument(who + role + " is a temporary state of another command buffer.");
}

void State::Impl::wasRead() {
    if (temporary && readCount > 0) setReadCount(readCount - 1);
}

void State::Impl::setReadCount(uint64_t count) {
    readCount = count;
    if (count > 0) return;
    for (Resource& resource : resources) {
        if (resource.range) heap->free(resource.range);
        resource.range = {};
        resource.shared = {};
        resource.slice = {};
        resource.object = {};
    }
}

void markRead(const StateBatch& states) {
    std::set<const detail::ObjectImpl*> seen;
    for (const State& state : states)
        if (state && seen.insert(state.shared().get()).second) state.impl().wasRead();
}

void addBatchBuffer(const StateBatch& states, uint64_t bytes, MTL::ResourceOptions options,
                    const MTL::CommandBuffer* temporary) {
    vk::BufferSlice all;
    std::shared_ptr<const void> shared;
    if (temporary) {
        auto heap = mps::temporaryHeap(*temporary);
        const auto range = heap->allocate(bytes * states.size());
        all = range.slice;
        shared = std::shared_ptr<const void>(all.buffer.get(),
                                             [heap, range](const void*) { heap->free(range); });
    } else {
        all = states.at(0).impl().device.newBuffer(bytes * states.size(), options).impl().slice;
    }
    for (size_t i = 0; i < states.size(); ++i) {
        State::Impl& state = states[i].impl();
        if (temporary && !state.temporary) state.makeTemporary(*temporary);
        auto& resource = state.resources[state.addBuffer(bytes)];
        resource.slice = {all.buffer, all.offset + i * bytes, bytes};
        resource.shared = shared;
        if (!temporary)
            resource.object = MTL::Buffer(
                std::make_shared<MTL::Buffer::Impl>(state.device, options, resource.slice));
    }
}

State::State(std::shared_ptr<Impl> impl) : Object(std::move(impl)) {}

State::Impl& State::impl() const {
    if (!impl_) throw InvalidArgument("[State] The state handle is empty.");
    return static_cast<Impl&>(*impl_);
}

bool State::isKindOf(const detail::ObjectImpl& object) {
    return dynamic_cast<const Impl*>(&object) != nullptr;
}

namespace {

std::shared_ptr<State::Impl> fromList(const MTL::Device& device, const StateResourceList& list) {
    auto made = std::make_shared<State::Impl>(device);
    device.impl();
    for (const auto& texture : list.textures) {
        MTL::checkDescriptor(texture, "[State] ");
        made->resources.emplace_back().texture = texture;
    }
    for (uint64_t bytes : list.bufferSizes) {
        if (bytes == 0) throw InvalidArgument("[State] A buffer of 0 bytes was asked for.");
        made->addBuffer(bytes);
    }
    return made;
}

StateResourceList oneBuffer(uint64_t bytes) {
    StateResourceList list;
    list.appendBuffer(bytes);
    return list;
}

StateResourceList oneTexture(const MTL::TextureDescriptor& descriptor) {
    StateResourceList list;
    list.appendTexture(descriptor);
    return list;
}

} // namespace

State::State(const MTL::Device& device, uint64_t bufferSize)
    : State(device, oneBuffer(bufferSize)) {}
State::State(const MTL::Device& device, const MTL::TextureDescriptor& descriptor)
    : State(device, oneTexture(descriptor)) {}
State::State(const MTL::Device& device, const StateResourceList& resources)
    : Object(fromList(device, resources)) {}
State::State(const MTL::Resource& resource) : State(std::vector<MTL::Resource>{resource}) {}

State::State(const std::vector<MTL::Resource>& resources) {
    if (resources.empty())
        throw InvalidArgument("[State] A state around no resource was asked for.");
    auto made = std::make_shared<Impl>(resources.front().device());
    made->wrapped = true;
    for (const MTL::Resource& resource : resources) {
        if (const auto buffer = resource.as<MTL::Buffer>()) {
            made->addBuffer(buffer);
        } else {
            auto& added = made->resources.emplace_back();
            added.texture = resource.as<MTL::Texture>().impl().descriptor;
            added.object = resource;
        }
    }
    impl_ = std::move(made);
}

State State::temporaryState(const MTL::CommandBuffer& commandBuffer) {
    commandBuffer.impl().list("[State] ");
    return State(
        std::make_shared<Impl>(commandBuffer.device())); // without a resource: not temporary
}

State State::temporaryState(const MTL::CommandBuffer& commandBuffer, uint64_t bufferSize) {
    return temporaryState(commandBuffer, oneBuffer(bufferSize));
}

State State::temporaryState(const MTL::CommandBuffer& commandBuffer,
                            const MTL::TextureDescriptor& descriptor) {
    return temporaryState(commandBuffer, oneTexture(descriptor));
}

State State::temporaryState(const MTL::CommandBuffer& commandBuffer,
                            const StateResourceList& resources) {
    commandBuffer.impl().list("[State] ");
    auto made = fromList(commandBuffer.device(), resources);
    if (!made->resources.empty()) made->makeTemporary(commandBuffer);
    return State(std::move(made));
}

uint64_t State::resourceCount() const { return impl().resources.size(); }

namespace {
State::Impl::Resource& at(const State& state, uint64_t index) {
    auto& all = state.impl().resources;
    if (index >= all.size())
        throw InvalidArgument(MTL::subject("State", state.label()) + "Resource " +
                              std::to_string(index) + " was asked for but there are " +
                              std::to_string(all.size()) + ".");
    return all[index];
}
} // namespace

MTL::Resource State::resource(uint64_t index, bool allocateMemory) const {
    Impl::Resource& resource = at(*this, index);
    if (!resource.object && !resource.slice && !allocateMemory) return MTL::Buffer();
    if (impl().temporary && impl().readCount == 0)
        throw InvalidArgument(MTL::subject("State", label()) +
                              "A resource was asked of a temporary state whose read count is 0.");
    if (resource.texture) {
        if (!resource.object) resource.object = impl().device.newTexture(*resource.texture);
        return resource.object;
    }
    return impl().bufferObject(index);
}

uint64_t State::bufferSize(uint64_t index) const { return at(*this, index).bufferBytes; }

StateTextureInfo State::textureInfo(uint64_t index) const {
    const auto& texture = at(*this, index).texture;
    if (!texture) return {};
    return {texture->width(),       texture->height(),      texture->depth(),
            texture->arrayLength(), texture->pixelFormat(), texture->textureType(),
            texture->usage()};
}

StateResourceType State::resourceType(uint64_t index) const {
    const auto& resource = at(*this, index);
    return resource.texture       ? StateResourceType::Texture
           : resource.bufferBytes ? StateResourceType::Buffer
                                  : StateResourceType::None;
}

uint64_t State::readCount() const { return impl().readCount; }

void State::setReadCount(uint64_t count) const {
    if (!impl().temporary) return;
    if (impl().readCount == 0)
        throw InvalidArgument(MTL::subject("State", label()) + "readCount was set to " +
                              std::to_string(count) +
                              " but it is 0 already: the state's memory is given back.");
    impl().setReadCount(count);
}

bool State::isTemporary() const { return impl().temporary; }
std::string State::label() const { return impl().label; }
void State::setLabel(const std::string& label) const { impl().label = label; }
void State::synchronize(const MTL::CommandBuffer& commandBuffer) const {
    impl();
    commandBuffer.impl().list(MTL::subject("State", label()));
}

uint64_t State::resourceSize() const {
    if (impl().wrapped) return 0;
    uint64_t sum = 0;
    for (const auto& resource : impl().resources) {
        sum += resource.bufferBytes;
        if (resource.texture)
            sum += resource.texture->width() * resource.texture->height() *
                   resource.texture->arrayLength() *
                   MTL::bytesPerPixel(resource.texture->pixelFormat());
    }
    return sum;
}

ImageDescriptor State::destinationImageDescriptor(const ImageBatch& sourceImages,
                                                  const StateBatch& sourceStates, Kernel& kernel,
                                                  const ImageDescriptor& suggested) const {
    return impl().adjust(sourceImages, sourceStates, kernel, suggested);
}

uint64_t StateBatchIncrementReadCount(const StateBatch& batch, int64_t amount) {
    std::set<State::Impl*> unique;
    for (const State& state : batch) unique.insert(&state.impl());
    const auto counts = [](const State::Impl* state) {
        return state->temporary && state->readCount > 0;
    };
    for (const State::Impl* state : unique)
        if (counts(state) && amount < 0 && uint64_t(0) - uint64_t(amount) > state->readCount)
            throw InvalidArgument(MTL::subject("State", state->label) + "The read count is " +
                                  std::to_string(state->readCount) + " but " +
                                  std::to_string(uint64_t(0) - uint64_t(amount)) +
                                  " were to be taken off.");
    for (State::Impl* state : unique)
        if (counts(state)) state->setReadCount(state->readCount + uint64_t(amount));
    return unique.size();
}

void StateBatchSynchronize(const StateBatch& batch, const MTL::CommandBuffer& commandBuffer) {
    for (const State& state : batch) state.synchronize(commandBuffer);
}

uint64_t StateBatchResourceSize(const StateBatch& batch) {
    std::set<const detail::ObjectImpl*> seen;
    uint64_t sum = 0;
    for (const State& state : batch)
        if (seen.insert(&state.impl()).second) sum += state.resourceSize();
    return sum;
}

} // namespace mpsvk::MPS
