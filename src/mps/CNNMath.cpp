#include "mps/CNNMath.hpp"
#include "mps/Archive.hpp"

#include "CNNMath.h"
#include "mps/CNNNeuron.hpp"
#include "mps/PassChecks.hpp"

#include <mpsvk/Error.hpp>

#include <algorithm>

namespace mpsvk::mps {

void checkMaskImages(const std::string& who, const char* role,
                     const MPS::CNNArithmeticGradientState::Impl& state, uint64_t images) {
    if (state.hasMask && state.images != images)
        throw InvalidArgument(who + role + " was made for " + std::to_string(state.images) +
                              " images but this encode has " + std::to_string(images) +
                              " for each state.");
}

void checkUnitStride(const std::string& who, const char* property, uint64_t stride) {
    if (stride > 1)
        throw InvalidArgument(who + property + " is " + std::to_string(stride) +
                              " but must be 0, which repeats the operand, or 1.");
}

} // namespace mpsvk::mps

namespace mpsvk::MPS {

CNNArithmeticGradientState::CNNArithmeticGradientState(std::shared_ptr<Impl> impl)
    : NNBinaryGradientState(std::move(impl)) {}
bool CNNArithmeticGradientState::isKindOf(const detail::ObjectImpl& object) {
    return dynamic_cast<const Impl*>(&object) != nullptr;
}

void CNNArithmetic::archive(mps::Archive& archive) {
    CNNBinaryKernel::archive(archive);
    archive("primaryScale", primaryScale_);
    archive("secondaryScale", secondaryScale_);
    archive("bias", bias_);
    archive("primaryStrideInFeatureChannels", primaryStrideInFeatureChannels_);
    archive("secondaryStrideInFeatureChannels", secondaryStrideInFeatureChannels_);
    archive("minimumValue", minimumValue_);
    archive("maximumValue", maximumValue_);
}

void NNCompare::archive(mps::Archive& archive) {
    CNNArithmetic::archive(archive);
    archive("comparisonType", comparisonType_);
    archive("threshold", threshold_);
}

CNNAdd::CNNAdd(const MTL::Device& device) : CNNArithmetic(device, "CNNAdd", glsl::arithmeticAdd) {}
CNNSubtract::CNNSubtract(const MTL::Device& device)
    : CNNArithmetic(device, "CNNSubtract", glsl::arithmeticSubtract) {}
CNNMultiply::CNNMultiply(const MTL::Device& device)
    : CNNArithmetic(device, "CNNMultiply", glsl::arithmeticMultiply) {}
CNNDivide::CNNDivide(const MTL::Device& device)
    : CNNArithmetic(device, "CNNDivide", glsl::arithmeticDivide) {}
NNCompare::NNCompare(const MTL::Device& device)
    : CNNArithmetic(device, "NNCompare", glsl::arithmeticCompare) {}
StateBatch NNCompare::makeResultStates(const mps::StateRequest&) const { return {}; }

bool CNNArithmetic::clamps() const {
    return operation_ != glsl::arithmeticCompare &&
           (minimumValue_ != -FLT_MAX || maximumValue_ != FLT_MAX);
}

uint64_t CNNArithmetic::outputChannels(uint64_t primaryChannels, uint64_t secondaryChannels) const {
    if (primaryStrideInFeatureChannels_) return primaryChannels;
    return secondaryStrideInFeatureChannels_ ? secondaryChannels : 1;
}

uint64_t CNNArithmetic::resultChannels(uint64_t primaryChannels, uint64_t secondaryChannels,
                                       const Image& destination) const {
    if (primaryStrideInFeatureChannels_ || secondaryStrideInFeatureChannels_)
        return outputChannels(primaryChannels, secondaryChannels);
    return mps::channelsInUse(destination, destinationFeatureChannelOffset(), UINT64_MAX);
}

uint64_t CNNArithmetic::channelsWritten(const mps::BinaryPass& pass) const {
    return resultChannels(pass.primaryChannels, pass.secondaryChannels, pass.destinations[0]);
}

void CNNArithmetic::customizeDestination(const ImageBatch& sources, const StateBatch&,
                                         ImageDescriptor& d) {
    const auto axis = [&](const char* name, uint64_t a, uint64_t strideA, uint64_t b,
                          uint64_t strideB) {
        if (strideA && strideB && a != b)
            throw InvalidArgument(subject() + "The " + name + " of the primary image is " +
                                  std::to_string(a) + ", of the secondary one " +
                                  std::to_string(b) +
                                  ": they must be equal, or one operand's stride 0 to repeat it.");
        return strideA ? a : strideB ? b : 1;
    };
    d.setWidth(axis("width", sources[0].width(), primaryStrideInPixelsX(), sources[1].width(),
                    secondaryStrideInPixelsX()));
    d.setHeight(axis("height", sources[0].height(), primaryStrideInPixelsY(), sources[1].height(),
                     secondaryStrideInPixelsY()));
}

StateBatch CNNArithmetic::makeResultStates(const mps::StateRequest& request) const {
    const auto& r = request.record;
    const uint64_t channels = resultChannels(
        r.sourceChannels, request.secondaryRecord.sourceChannels, request.destinations[0]);
    const uint64_t texels = r.clip.width * r.clip.height * mps::slicesFor(channels);
    const bool hasMask = clamps() && texels > 0;
    uint64_t images = 1;
    if (request.count() == 1) {
        const auto walked = [&](const Offset& offset, const Image& source) {
            return mps::imagesOf(subject(), clipRect(), {offset.z}, source,
                                 request.destinations[0]);
        };
        images = std::min(walked(primaryOffset(), request.sources[0]),
                          walked(secondaryOffset(), request.secondaries[0]));
    }
    StateBatch made;
    for (size_t i = 0; i < request.count(); ++i) {
        auto state = std::make_shared<CNNArithmeticGradientState::Impl>(request.device, r,
                                                                        request.secondaryRecord);
        state->primaryStrideInFeatureChannels = primaryStrideInFeatureChannels_;
        state->secondaryStrideInFeatureChannels = secondaryStrideInFeatureChannels_;
        state->resultChannels = channels;
        state->hasMask = hasMask;
        state->images = images;
        made.push_back(CNNArithmeticGradientState(std::move(state)));
    }
    // Each image of an array has its share; a share may be bound alone.
    if (hasMask)
        addBatchBuffer(made, images * vk::Memory::taken(texels * sizeof(uint32_t)),
                       MTL::ResourceOptions::StorageModePrivate, request.temporary);
    return made;
}

void CNNArithmetic::encode(const MTL::CommandBuffer& commandBuffer, const Image& primaryImage,
                           const Image& secondaryImage, const CNNArithmeticGradientState& state,
                           const Image& destination) {
    run(commandBuffer, {primaryImage}, {secondaryImage}, {},
        state ? StateBatch{state} : StateBatch{}, {destination}, false);
}

void CNNArithmetic::encodeBatch(const MTL::CommandBuffer& commandBuffer,
                                const ImageBatch& primaryImages, const ImageBatch& secondaryImages,
                                const StateBatch& states, const ImageBatch& destinations) {
    run(commandBuffer, primaryImages, secondaryImages, {}, states, destinations, true);
}

void CNNArithmetic::validate(const mps::BinaryPass& pass) const {
    const std::string who = subject();
    mps::checkUnitStride(who, "primaryStrideInPixelsX", primaryStrideInPixelsX());
    mps::checkUnitStride(who, "primaryStrideInPixelsY", primaryStrideInPixelsY());
    mps::checkUnitStride(who, "primaryStrideInFeatureChannels", primaryStrideInFeatureChannels_);
    mps::checkUnitStride(who, "secondaryStrideInPixelsX", secondaryStrideInPixelsX());
    mps::checkUnitStride(who, "secondaryStrideInPixelsY", secondaryStrideInPixelsY());
    mps::checkUnitStride(who, "secondaryStrideInFeatureChannels",
                         secondaryStrideInFeatureChannels_);
    if (primaryStrideInFeatureChannels_ && secondaryStrideInFeatureChannels_ &&
        pass.primaryChannels != pass.secondaryChannels)
        throw InvalidArgument(who + "The primary image has " +
                              std::to_string(pass.primaryChannels) +
                              " feature channels in use, the secondary one " +
                              std::to_string(pass.secondaryChannels) +
                              ": they must be equal, or one operand's stride 0 to repeat it.");
    if (operation_ == glsl::arithmeticCompare &&
        comparison() > uint32_t(NNComparisonType::GreaterOrEqual))
        throw InvalidArgument(who + "comparisonType is " + std::to_string(comparison()) +
                              " but types go from 0 to 5.");
    const uint64_t channels = channelsWritten(pass);
    if (neuron_) mps::checkSlopes(who, neuron_->descriptor, channels);
    for (const State& state : pass.destinationStates) {
        const auto* impl =
            dynamic_cast<const CNNArithmeticGradientState::Impl*>(state.shared().get());
        if (!impl)
            throw InvalidArgument(who + "destinationState is a state of another class than "
                                        "CNNArithmeticGradientState.");
        if (impl->primary.className != className())
            throw InvalidArgument(who + "destinationState was made by a " +
                                  impl->primary.className + " but this kernel takes its own.");
        mps::checkMaskImages(who, "destinationState", *impl,
                             pass.primaries.size() > 1 ? 1 : pass.imageCount);
        if (impl->hasMask != clamps() && pass.clip.width > 0 && pass.clip.height > 0)
            throw InvalidArgument(
                who + "destinationState was made " +
                (impl->hasMask ? "for clamped results but" : "without bounds but") +
                " minimumValue and maximumValue have changed since.");
        const auto& r = impl->primary;
        if (impl->hasMask &&
            (r.clip.width != pass.clip.width || r.clip.height != pass.clip.height ||
             impl->resultChannels != channels))
            throw InvalidArgument(who + "destinationState was made for " +
                                  mps::sizeText(r.clip.width, r.clip.height) + " results with " +
                                  std::to_string(impl->resultChannels) + " feature channels but " +
                                  mps::sizeText(pass.clip.width, pass.clip.height) + " with " +
                                  std::to_string(channels) + " are written.");
    }
}

void CNNArithmetic::dispatch(const mps::BinaryPass& pass) const {
    const uint64_t channels = channelsWritten(pass);
    const bool writesMask = clamps() && !pass.stateBuffers.empty();
    const mps::FusedNeuron neuron = neuron_ ? *neuron_ : mps::FusedNeuron{};
    const glsl::CNNArithmeticParameters parameters{
        .primary = pass.primaryView,
        .secondary = pass.secondaryView,
        .destination = pass.destination.view(destinationFeatureChannelOffset(), channels),
        .clipX = int(pass.clip.x),
        .clipY = int(pass.clip.y),
        .clipWidth = uint32_t(pass.clip.width),
        .primaryOffsetX = int(primaryOffset().x),
        .primaryOffsetY = int(primaryOffset().y),
        .secondaryOffsetX = int(secondaryOffset().x),
        .secondaryOffsetY = int(secondaryOffset().y),
        .primaryStrideX = int(primaryStrideInPixelsX()),
        .primaryStrideY = int(primaryStrideInPixelsY()),
        .secondaryStrideX = int(secondaryStrideInPixelsX()),
        .secondaryStrideY = int(secondaryStrideInPixelsY()),
        .primaryStrideChannels = uint32_t(primaryStrideInFeatureChannels_),
        .secondaryStrideChannels = uint32_t(secondaryStrideInFeatureChannels_),
        .primaryClampEdges = primaryEdgeMode() == ImageEdgeMode::Clamp,
        .secondaryClampEdges = secondaryEdgeMode() == ImageEdgeMode::Clamp,
        .primaryScale = primaryScale_,
        .secondaryScale = secondaryScale_,
        .bias = bias_,
        .operation = operation_,
        .comparison = comparison(),
        .threshold = comparisonThreshold(),
        .clamps = clamps(),
        .minimum = minimumValue_,
        .maximum = maximumValue_,
        .writesMask = writesMask,
        .maskStride = writesMask ? uint32_t(pass.stateBuffers[0].strideBytes / 4) : 0,
        .neuronA = neuron.descriptor.a(),
        .neuronB = neuron.descriptor.b(),
        .neuronC = neuron.descriptor.c(),
    };
    const bool hasPairs = primaryStrideInFeatureChannels_ != 0 &&
                          secondaryStrideInFeatureChannels_ != 0 &&
                          pass.primary.hasPairs(parameters.primary) &&
                          pass.secondary.hasPairs(parameters.secondary) &&
                          pass.destination.hasPairs(parameters.destination);
    auto grid = mps::Grid::over(mps::slicesFor(channels), pass.clip.width, pass.clip.height,
                                pass.imageCount, hasPairs ? 2 : 1);
    grid.wholeTexels = (parameters.primary.channels | parameters.secondary.channels |
                        parameters.destination.channels) %
                           4 ==
                       0;
    pass.encoder->dispatch("CNNArithmetic", parameters, grid,
                           {{1, pass.primary},
                            {2, pass.secondary},
                            {3, pass.destination},
                            {4, writesMask ? pass.stateBuffers[0].all : vk::BufferSlice{}},
                            {5, mps::sliceOf(neuron.slopes)}},
                           {mps::constant(32, uint32_t(neuron.descriptor.neuronType()))});
}

} // namespace mpsvk::MPS
