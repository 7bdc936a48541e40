#include "mps/CNNDropout.hpp"

#include "CNNDropout.h"
#include "mps/Archive.hpp"
#include "mps/CNNNeuron.hpp"
#include "mps/PassChecks.hpp"

#include <mpsvk/Error.hpp>

#include <algorithm>
#include <cstring>
#include <utility>

namespace mpsvk::MPS {

/// Shared with the dispatches of compiled graphs, which advance it too.
struct CNNDropout::Counter {
    uint64_t next = 0;
    uint64_t current = 0; ///< of the encode whose runs are being recorded
};

namespace {

using DropoutState = CNNDropoutGradientState::Impl;

void checkArguments(const char* className, float keepProbability, const MTL::Size& stride) {
    const std::string who = "[" + std::string(className) + "] ";
    if (!(keepProbability > 0 && keepProbability <= 1))
        throw InvalidArgument(who + "keepProbability is " + std::to_string(keepProbability) +
                              " but must be above 0 and at most 1.");
    if (stride.width > 1 || stride.height > 1 || stride.depth > 1)
        throw InvalidArgument(who + "maskStrideInPixels is " +
                              mps::sizeText(stride.width, stride.height) + "x" +
                              std::to_string(stride.depth) + " but each must be 0 or 1.");
}

void archiveArguments(mps::Archive& archive, const char* className, float& keepProbability,
                      uint64_t& seed, MTL::Size& stride) {
    archive("keepProbability", keepProbability);
    archive("seed", seed);
    archive("maskStrideInPixels", stride);
    checkArguments(className, keepProbability, stride);
}

const DropoutState* dropoutState(const State& state) {
    return dynamic_cast<const DropoutState*>(state.shared().get());
}

std::string probabilityText(float keepProbability, uint64_t seed, const MTL::Size& stride) {
    return "keepProbability " + std::to_string(keepProbability) + ", seed " + std::to_string(seed) +
           " and maskStrideInPixels " + mps::sizeText(stride.width, stride.height) + "x" +
           std::to_string(stride.depth);
}

void checkState(const std::string& who, const State& state, const char* role, float keepProbability,
                uint64_t seed, const MTL::Size& stride) {
    const auto* own = dropoutState(state);
    if (!own) throw InvalidArgument(who + role + " is none of a CNNDropout.");
    if (own->keepProbability != keepProbability || own->seed != seed ||
        !(own->maskStride == stride))
        throw InvalidArgument(who + role + " was made by a kernel with " +
                              probabilityText(own->keepProbability, own->seed, own->maskStride) +
                              " but this one has " +
                              probabilityText(keepProbability, seed, stride) + ".");
}

void checkImages(const std::string& who, const char* role, const DropoutState& state,
                 uint64_t images) {
    if (state.images != images)
        throw InvalidArgument(who + role + " was made for " + std::to_string(state.images) +
                              " images but this encode has " + std::to_string(images) +
                              " for each state.");
}

} // namespace

uint64_t CNNDropoutGradientState::Impl::maskBytes() const {
    return vk::Memory::taken(maskWidth() * maskHeight() * maskSlices() * 4);
}

CNNDropoutGradientState::CNNDropoutGradientState(std::shared_ptr<Impl> impl)
    : NNGradientState(std::move(impl)) {}

bool CNNDropoutGradientState::isKindOf(const detail::ObjectImpl& object) {
    return dynamic_cast<const Impl*>(&object) != nullptr;
}

std::vector<std::byte> CNNDropoutGradientState::maskData() const {
    auto& self = static_cast<Impl&>(impl());
    const std::string who = MTL::subject("CNNDropoutGradientState", self.label);
    if (self.temporary)
        throw InvalidArgument(
            who + "maskData is for states that the host can reach but this one is temporary.");
    const vk::BufferSlice slice = self.buffer(0);
    if (slice.buffer->hasPendingWrites())
        throw InvalidArgument(
            who + "maskData was called while a command buffer that writes the mask is not "
                  "completed.");
    const uint64_t pixels = self.maskWidth() * self.maskHeight(), channels = self.maskChannels();
    std::vector<std::byte> data;
    data.reserve(self.images * pixels * channels);
    for (uint64_t image = 0; image < self.images; ++image)
        for (uint64_t pixel = 0; pixel < pixels; ++pixel) {
            const std::byte* from =
                slice.mapped() + image * self.maskBytes() + pixel * self.maskSlices() * 4;
            data.insert(data.end(), from, from + channels);
        }
    return data;
}

CNNDropout::CNNDropout(const MTL::Device& device, float keepProbability, uint64_t seed,
                       const MTL::Size& maskStride)
    : CNNKernel(device, "CNNDropout"), keepProbability_(keepProbability), seed_(seed),
      maskStride_(maskStride), counter_(std::make_shared<Counter>()) {
    checkArguments("CNNDropout", keepProbability, maskStride);
}

CNNDropout::CNNDropout(const CNNDropout& other)
    : CNNKernel(other), keepProbability_(other.keepProbability_), seed_(other.seed_),
      maskStride_(other.maskStride_), counter_(std::make_shared<Counter>()) {}

CNNDropout::CNNDropout(CNNDropout&& other) noexcept : CNNDropout(std::as_const(other)) {
    counter_.swap(other.counter_);
}

CNNDropout& CNNDropout::operator=(const CNNDropout& other) {
    if (this != &other) *this = CNNDropout(other);
    return *this;
}

CNNDropout& CNNDropout::operator=(CNNDropout&& other) noexcept {
    if (this == &other) return *this;
    CNNKernel::operator=(other);
    keepProbability_ = other.keepProbability_;
    seed_ = other.seed_;
    maskStride_ = other.maskStride_;
    counter_ = std::exchange(other.counter_, std::make_shared<Counter>());
    return *this;
}

CNNDropout CNNDropout::copy(const MTL::Device& device) const { return copied(*this, device); }

CNNDropout::CNNDropout(KeyedUnarchiver& coder, const MTL::Device& device)
    : CNNDropout(deviceFor(coder, device), 1, 0, {1, 1, 1}) {
    unarchive(coder);
}

void CNNDropout::archive(mps::Archive& archive) {
    CNNKernel::archive(archive);
    archiveArguments(archive, "CNNDropout", keepProbability_, seed_, maskStride_);
    archive("encodeCount", counter_->next);
}

uint64_t CNNDropout::encodeCount() const { return counter_->next; }
void CNNDropout::setEncodeCount(uint64_t count) { counter_->next = count; }

StateBatch CNNDropout::makeResultStates(const mps::StateRequest& request) const {
    StateBatch made;
    uint64_t bytes = 0;
    for (size_t i = 0; i < request.count(); ++i) {
        auto state = std::make_shared<DropoutState>(request.device, request.record);
        state->keepProbability = keepProbability_;
        state->seed = seed_;
        state->maskStride = maskStride_;
        if (request.count() == 1)
            state->images = mps::imagesOf(subject(), clipRect(), sourceImages(), request.sources[0],
                                          request.destinations[0]);
        bytes = state->images * state->maskBytes();
        made.push_back(CNNDropoutGradientState(std::move(state)));
    }
    addBatchBuffer(made, bytes, MTL::ResourceOptions::StorageModeShared, request.temporary);
    return made;
}

void CNNDropout::validate(const mps::UnaryPass& pass) const {
    const std::string who = subject();
    for (const State& state : pass.states) {
        checkState(who, state, "The destination state", keepProbability_, seed_, maskStride_);
        const auto* own = dropoutState(state);
        const mps::ForwardRecord& r = own->record;
        if (r.clip.width != pass.clip.width || r.clip.height != pass.clip.height ||
            r.sourceChannels != pass.sourceChannels)
            throw InvalidArgument(who + "The destination state was made for a result of " +
                                  mps::sizeText(r.clip.width, r.clip.height) + " with " +
                                  std::to_string(r.sourceChannels) +
                                  " feature channels but this encode writes " +
                                  mps::sizeText(pass.clip.width, pass.clip.height) + " with " +
                                  std::to_string(pass.sourceChannels) + ".");
        checkImages(who, "The destination state", *own,
                    pass.sources.size() > 1 ? 1 : pass.imageCount);
    }
}

void CNNDropout::dispatch(const mps::UnaryPass& pass) const {
    const bool saves = !pass.stateBuffers.empty();
    using Parameters = glsl::CNNDropoutParameters;
    const Parameters parameters{
        .source = pass.sourceView,
        .destination = pass.destinationView,
        .clipX = int(pass.clip.x),
        .clipY = int(pass.clip.y),
        .offsetX = int(pass.offset.x),
        .offsetY = int(pass.offset.y),
        .clampEdges = pass.edgeMode == ImageEdgeMode::Clamp,
        .keepProbability = keepProbability_,
        .seedLow = uint32_t(seed_),
        .seedHigh = uint32_t(seed_ >> 32),
        .firstImage = uint32_t(pass.firstImage),
        .maskWidth = maskStride_.width ? uint32_t(pass.clip.width) : 1,
        .maskHeight = maskStride_.height ? uint32_t(pass.clip.height) : 1,
        .maskChannels = maskStride_.depth ? uint32_t(pass.sourceChannels) : 1,
        .perColumn = uint32_t(maskStride_.width),
        .perRow = uint32_t(maskStride_.height),
        .perChannel = uint32_t(maskStride_.depth),
        .maskStride = saves ? uint32_t(pass.stateBuffers[0].strideBytes / 4) : 0,
    };
    const bool wholeBlocks = parameters.perChannel && parameters.maskChannels % 4 == 0;
    // The runs of an encode follow each other, when recorded as when replayed.
    const auto refresh = [counter = counter_, isFirst = pass.firstImage == 0](std::byte* bytes) {
        if (isFirst) counter->current = counter->next++;
        const uint32_t low = uint32_t(counter->current), high = uint32_t(counter->current >> 32);
        std::memcpy(bytes + offsetof(Parameters, ordinalLow), &low, sizeof low);
        std::memcpy(bytes + offsetof(Parameters, ordinalHigh), &high, sizeof high);
    };
    pass.encoder->dispatch(
        "CNNDropout", parameters, pass.clipGrid(),
        {{1, pass.source},
         {2, pass.destination},
         {3, saves ? pass.stateBuffers[0].all : vk::BufferSlice{}}},
        {mps::constant(32, uint32_t(saves)), mps::constant(33, uint32_t(wholeBlocks))}, refresh);
}

CNNDropoutGradient::CNNDropoutGradient(const MTL::Device& device, float keepProbability,
                                       uint64_t seed, const MTL::Size& maskStride)
    : CNNGradientKernel(device, "CNNDropoutGradient"), keepProbability_(keepProbability),
      seed_(seed), maskStride_(maskStride) {
    checkArguments("CNNDropoutGradient", keepProbability, maskStride);
}

/// The mask is counted from the forward clip rectangle, whose pixel q came from the forward
/// source's pixel offset + q.
CNNDropoutGradient::CNNDropoutGradient(KeyedUnarchiver& coder, const MTL::Device& device)
    : CNNDropoutGradient(deviceFor(coder, device), 1, 0, {1, 1, 1}) {
    unarchive(coder);
}

void CNNDropoutGradient::archive(mps::Archive& archive) {
    CNNGradientKernel::archive(archive);
    archiveArguments(archive, "CNNDropoutGradient", keepProbability_, seed_, maskStride_);
}

void CNNDropoutGradient::takeForwardRecord(const mps::ForwardRecord& r) {
    CNNGradientKernel::takeForwardRecord(r);
    const mps::PointwiseOrigin origin(r, clipRect());
    setClipRect(origin.clip);
    setSecondaryOffset({origin.skipped.x, origin.skipped.y, r.offset.z});
    setPrimaryOffset({r.clip.x + origin.skipped.x, r.clip.y + origin.skipped.y, primaryOffset().z});
}

void CNNDropoutGradient::validate(const mps::BinaryPass& pass) const {
    const std::string who = subject();
    if (pass.sourceStates.empty())
        throw InvalidArgument(who + "A dropout gradient needs the gradient state with the mask.");
    CNNGradientKernel::validate(pass);
    mps::checkGradientChannels(who, pass);
    if (neuron_) mps::checkSlopes(who, neuron_->descriptor, pass.secondaryChannels);
    const auto* first = dropoutState(pass.sourceStates[0]);
    for (const State& state : pass.sourceStates) {
        checkState(who, state, "gradientState", keepProbability_, seed_, maskStride_);
        const auto* own = dropoutState(state);
        checkImages(who, "gradientState", *own, pass.primaries.size() > 1 ? 1 : pass.batchCount);
        if (own->maskBytes() != first->maskBytes() || own->maskWidth() != first->maskWidth() ||
            own->maskChannels() != first->maskChannels())
            throw InvalidArgument(who + "The gradient states have masks of different sizes.");
        if (maskStride_.depth && pass.secondaryChannels > own->maskChannels())
            throw InvalidArgument(who + "sourceImage gives " +
                                  std::to_string(pass.secondaryChannels) +
                                  " feature channels but the mask of gradientState has " +
                                  std::to_string(own->maskChannels()) + ".");
    }
}

void CNNDropoutGradient::dispatch(const mps::BinaryPass& pass) const {
    const auto& state = *dropoutState(pass.sourceStates[0]);
    const mps::FusedNeuron neuron = neuron_ ? *neuron_ : mps::FusedNeuron{};
    const glsl::CNNDropoutGradientParameters parameters{
        .gradient = pass.primaryView,
        .source = pass.secondaryView,
        .destination = pass.destinationView,
        .clipX = int(pass.clip.x),
        .clipY = int(pass.clip.y),
        .gradientOffsetX = int(primaryOffset().x),
        .gradientOffsetY = int(primaryOffset().y),
        .maskOffsetX = int(secondaryOffset().x),
        .maskOffsetY = int(secondaryOffset().y),
        .keepProbability = keepProbability_,
        .maskWidth = uint32_t(state.maskWidth()),
        .maskHeight = uint32_t(state.maskHeight()),
        .maskSlices = uint32_t(state.maskSlices()),
        .perColumn = uint32_t(maskStride_.width),
        .perRow = uint32_t(maskStride_.height),
        .perChannel = uint32_t(maskStride_.depth),
        .maskStride = uint32_t(pass.stateBuffers[0].strideBytes / 4),
        .neuronA = neuron.descriptor.a(),
        .neuronB = neuron.descriptor.b(),
        .neuronC = neuron.descriptor.c(),
    };
    pass.encoder->dispatch("CNNDropoutGradient", parameters, pass.pairGrid(),
                           {{1, pass.primary},
                            {2, pass.secondary},
                            {3, pass.destination},
                            {4, pass.stateBuffers[0].all},
                            {5, mps::sliceOf(neuron.slopes)}},
                           {mps::constant(32, uint32_t(neuron.descriptor.neuronType())),
                            mps::constant(33, uint32_t(neuron.readsResult))});
}

} // namespace mpsvk::MPS
