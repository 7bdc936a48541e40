#include "mps/CNNBatchNormalization.hpp"

#include "mps/Archive.hpp"
#include "mps/CNNNeuron.hpp"
#include "mps/PassChecks.hpp"

#include <mpsvk/Error.hpp>

#include <algorithm>

namespace mpsvk::MPS {

using Statistics = CNNBatchNormalizationStatisticsGradient;
using Gradient = CNNBatchNormalizationGradient;
using mps::BatchNormalizationParameters;

namespace {

std::string neuronText(const NNNeuronDescriptor& d) {
    return "type " + std::to_string(int(d.neuronType())) + ", a " + std::to_string(d.a()) + ", b " +
           std::to_string(d.b()) + ", c " + std::to_string(d.c());
}

void checkNeuron(const std::string& who, const NNNeuronDescriptor& own, const StateBatch& states) {
    const NNNeuronDescriptor& forward = mps::stateOf(states).kernel->fusedNeuronDescriptor();
    if (!mps::areSame(own, forward))
        throw InvalidArgument(who + "The forward kernel's neuron has " + neuronText(forward) +
                              " but this kernel's has " + neuronText(own) +
                              ": they must be the same, slopes included.");
}

void checkPass(const std::string& who, const mps::BinaryPass& pass,
               const NNNeuronDescriptor& neuron) {
    mps::checkOneState(who, pass.sourceStates);
    mps::checkParameterChannels(who, pass.secondaryChannels,
                                mps::stateOf(pass.sourceStates).parameters->channels);
    mps::checkGradientChannels(who, pass);
    checkNeuron(who, neuron, pass.sourceStates);
}

glsl::CNNBatchNormalizationParameters parametersOf(const mps::BinaryPass& pass,
                                                   const CNNGradientKernel& kernel,
                                                   const NNNeuronDescriptor& neuron) {
    glsl::CNNBatchNormalizationParameters p{};
    p.source = pass.secondaryView;
    p.gradient = pass.primaryView;
    p.sourceX = int(kernel.secondaryOffset().x);
    p.sourceY = int(kernel.secondaryOffset().y);
    p.gradientX = int(kernel.primaryOffset().x);
    p.gradientY = int(kernel.primaryOffset().y);
    p.clampEdges = kernel.secondaryEdgeMode() == ImageEdgeMode::Clamp;
    p.epsilon = mps::stateOf(pass.sourceStates).kernel->epsilon();
    p.a = neuron.a();
    p.b = neuron.b();
    p.c = neuron.c();
    return p;
}

/// Whether the source's and the gradient's pixels begin at the images' first ones.
bool isAligned(const glsl::CNNBatchNormalizationParameters& p) {
    return p.sourceX == 0 && p.sourceY == 0 && p.gradientX == 0 && p.gradientY == 0;
}

/// Whether the walk stays within the source and the gradient.
bool readsInside(const glsl::CNNBatchNormalizationParameters& p) {
    const auto holds = [&](const glsl::ImageView& view, int x, int y) {
        return x >= 0 && y >= 0 && x + int64_t(p.walk.width) <= int64_t(view.width) &&
               y + int64_t(p.walk.height) <= int64_t(view.height);
    };
    return holds(p.source, p.sourceX, p.sourceY) && holds(p.gradient, p.gradientX, p.gradientY);
}

} // namespace

Statistics::CNNBatchNormalizationStatisticsGradient(const MTL::Device& device,
                                                    const std::optional<NNNeuronDescriptor>& neuron)
    : CNNGradientKernel(device, "CNNBatchNormalizationStatisticsGradient"),
      neuron_(neuron.value_or(NNNeuronDescriptor(CNNNeuronType::None))) {
    slopes_ = mps::slopesOf(subject(), device, neuron_);
}

Statistics::CNNBatchNormalizationStatisticsGradient(KeyedUnarchiver& coder,
                                                    const MTL::Device& device)
    : CNNBatchNormalizationStatisticsGradient(deviceFor(coder, device)) {
    unarchive(coder);
}

void Statistics::archive(mps::Archive& archive) {
    CNNGradientKernel::archive(archive);
    archive("fusedNeuronDescriptor", neuron_);
    if (archive.isReading()) slopes_ = mps::slopesOf(subject(), device(), neuron_);
}

Statistics Statistics::copy(const MTL::Device& device) const {
    Statistics made(*this);
    made.setDevice(device);
    made.slopes_ = mps::slopesOf(subject(), made.device(), neuron_);
    return made;
}

void Statistics::encodeBatch(const MTL::CommandBuffer& commandBuffer, const ImageBatch& gradients,
                             const ImageBatch& sources, const CNNBatchNormalizationState& state) {
    mps::checkUsableState(subject(), state, commandBuffer);
    run(commandBuffer, gradients, sources, StateBatch(gradients.size(), state), {}, {}, true);
    state.impl().statistics.closed = true;
}

void Statistics::takeForwardRecord(const mps::ForwardRecord& r) {
    CNNGradientKernel::takeForwardRecord(r);
    setPrimaryOffset({r.clip.x, r.clip.y, primaryOffset().z});
    MTL::Region clip = clipRect();
    clip.size.width = r.clip.width;
    clip.size.height = r.clip.height;
    setClipRect(clip);
}

void Statistics::validate(const mps::BinaryPass& pass) const {
    CNNGradientKernel::validate(pass);
    checkPass(subject(), pass, neuron_);
    mps::checkPixelwiseSizes(subject(), *this, pass);
}

void Statistics::dispatchSums(const mps::BinaryPass& pass) const {
    // The part of the rectangle that the gradient has pixels for: elsewhere it is 0.
    auto p = parametersOf(pass, *this, neuron_);
    const auto part = [](int& gradient, int& source, uint64_t length, uint64_t all) {
        const int64_t skip = std::max(0, -gradient);
        gradient += int(skip);
        source += int(skip);
        const int64_t left = int64_t(all) - gradient;
        return std::min(int64_t(std::min<uint64_t>(length, INT64_MAX)) - skip, left);
    };
    const int64_t width = part(p.gradientX, p.sourceX, clipRect().size.width, pass.primary.width());
    const int64_t height =
        part(p.gradientY, p.sourceY, clipRect().size.height, pass.primary.height());
    if (width <= 0 || height <= 0) return;

    auto& state = mps::stateOf(pass.sourceStates);
    state.gradients.begin();
    state.hasGradients = true;
    mps::WalkShape shape{uint64_t(width), uint64_t(height), pass.imageCount, pass.secondaryChannels,
                         pass.texelsEach()};
    if (isAligned(p) && mps::isFlat(shape, pass.secondary, p.source) &&
        mps::isFlat(shape, pass.primary, p.gradient))
        mps::flatten(shape, {&p.source, &p.gradient});
    p.walk = mps::walkOver(shape, mps::WalkUse::Sums);
    const auto partials = pass.encoder->scratch(mps::partialBytes(p.walk, pass.secondaryChannels));
    using enum BatchNormalizationParameters::Array;
    using Buffers = CNNBatchNormalizationState::Impl::Buffers;
    pass.encoder->dispatch("CNNBatchNormalizationStatisticsGradient", p,
                           mps::walkGrid(p.walk, shape.texelsEach, pass.hasWholeTexels()),
                           {{1, pass.secondary},
                            {2, pass.primary},
                            {3, *partials},
                            {4, state.parameters->slice(Gamma)},
                            {5, state.parameters->slice(Beta)},
                            {6, state.mean()},
                            {7, state.variance()},
                            {8, mps::sliceOf(slopes_)}},
                           {mps::constant(32, uint32_t(neuron_.neuronType())),
                            mps::constant(29, uint32_t(readsInside(p)))});
    mps::reduceSums(*pass.encoder, "CNNBatchNormalizationStatisticsGradientReduce", p.walk,
                    pass.secondaryChannels, state.gradients, *partials,
                    state.buffer(Buffers::GradientForGamma),
                    state.buffer(Buffers::GradientForBeta));
}

Gradient::CNNBatchNormalizationGradient(const MTL::Device& device,
                                        const std::optional<NNNeuronDescriptor>& neuron)
    : CNNGradientKernel(device, "CNNBatchNormalizationGradient"),
      neuron_(neuron.value_or(NNNeuronDescriptor(CNNNeuronType::None))) {
    slopes_ = mps::slopesOf(subject(), device, neuron_);
}

Gradient::CNNBatchNormalizationGradient(KeyedUnarchiver& coder, const MTL::Device& device)
    : CNNBatchNormalizationGradient(deviceFor(coder, device)) {
    unarchive(coder);
}

void Gradient::archive(mps::Archive& archive) {
    CNNGradientKernel::archive(archive);
    archive("fusedNeuronDescriptor", neuron_);
    if (archive.isReading()) slopes_ = mps::slopesOf(subject(), device(), neuron_);
}

Gradient Gradient::copy(const MTL::Device& device) const {
    Gradient made(*this);
    made.setDevice(device);
    made.slopes_ = mps::slopesOf(subject(), made.device(), neuron_);
    return made;
}

ImageBatch Gradient::encodeBatch(const MTL::CommandBuffer& commandBuffer,
                                 const ImageBatch& gradients, const ImageBatch& sources,
                                 const CNNBatchNormalizationState& state) {
    mps::checkUsableState(subject(), state, commandBuffer);
    return encodeBatch(commandBuffer, gradients, sources, StateBatch(gradients.size(), state));
}

void Gradient::encodeBatch(const MTL::CommandBuffer& commandBuffer, const ImageBatch& gradients,
                           const ImageBatch& sources, const CNNBatchNormalizationState& state,
                           const ImageBatch& destinations) {
    mps::checkUsableState(subject(), state, commandBuffer);
    encodeBatch(commandBuffer, gradients, sources, StateBatch(gradients.size(), state),
                destinations);
}

void Gradient::takeForwardRecord(const mps::ForwardRecord& record) { takePixelwiseRecord(record); }

void Gradient::customizeDestination(const ImageBatch& sources, const StateBatch& states,
                                    ImageDescriptor& d) {
    CNNGradientKernel::customizeDestination(sources, states, d);
    // The images of a state need not be of one size.
    if (states.empty() || !mps::stateOf(states).record.isPixelByPixel()) return;
    d.setWidth(sources[1].width());
    d.setHeight(sources[1].height());
}

void Gradient::validate(const mps::BinaryPass& pass) const {
    CNNGradientKernel::validate(pass);
    checkPass(subject(), pass, neuron_);
    mps::checkPixelwiseSizes(subject(), *this, pass);
    const auto& state = mps::stateOf(pass.sourceStates);
    if (state.statistics.pixels && !state.gradients.pixels)
        throw InvalidArgument(
            subject() + "gradientState has statistics of a batch but no gradients of gamma and "
                        "beta for it: CNNBatchNormalizationStatisticsGradient comes first.");
}

void Gradient::dispatch(const mps::BinaryPass& pass) const {
    auto& state = mps::stateOf(pass.sourceStates);
    state.statistics.closed = state.gradients.closed = true;
    auto p = parametersOf(pass, *this, neuron_);
    p.destination = pass.destinationView;
    p.destinationX = int(pass.clip.x);
    p.destinationY = int(pass.clip.y);
    mps::WalkShape shape{pass.clip.width, pass.clip.height, pass.imageCount, pass.secondaryChannels,
                         pass.texelsEach()};
    if (isAligned(p) && mps::isFlat(shape, pass.secondary, p.source) &&
        mps::isFlat(shape, pass.primary, p.gradient) &&
        mps::isFlat(shape, pass.destination, p.destination))
        mps::flatten(shape, {&p.source, &p.gradient, &p.destination});
    p.walk = mps::walkOver(shape, mps::WalkUse::Pixels);
    const bool ofBatch = state.statistics.pixels > 0;
    p.inverseCount = ofBatch ? float(1 / double(state.statistics.pixels)) : 0.f;
    using enum BatchNormalizationParameters::Array;
    using Buffers = CNNBatchNormalizationState::Impl::Buffers;
    const vk::BufferSlice none;
    pass.encoder->dispatch("CNNBatchNormalizationGradient", p,
                           mps::walkGrid(p.walk, shape.texelsEach, pass.hasWholeTexels()),
                           {{1, pass.secondary},
                            {2, pass.primary},
                            {3, pass.destination},
                            {4, state.parameters->slice(Gamma)},
                            {5, state.parameters->slice(Beta)},
                            {6, state.mean()},
                            {7, state.variance()},
                            {8, mps::sliceOf(slopes_)},
                            {9, ofBatch ? state.buffer(Buffers::GradientForGamma) : none},
                            {10, ofBatch ? state.buffer(Buffers::GradientForBeta) : none}},
                           {mps::constant(32, uint32_t(neuron_.neuronType())),
                            mps::constant(29, uint32_t(readsInside(p)))});
}

} // namespace mpsvk::MPS
