#include "CNNLoss.h"
#include "mps/CNNLossPass.hpp"
#include "mps/PassChecks.hpp"

#include <mpsvk/Error.hpp>

namespace mpsvk::MPS {

CNNLoss::CNNLoss(const MTL::Device& device, const CNNLossDescriptor& lossDescriptor)
    : CNNKernel(device, "CNNLoss"), descriptor_(lossDescriptor) {
    mps::checkLossDescriptor("[CNNLoss] ", descriptor_);
}

CNNLoss CNNLoss::copy(const MTL::Device& device) const { return copied(*this, device); }

void CNNLoss::validate(const mps::UnaryPass&) const { mps::refuseWithoutLabels(subject()); }
void CNNLoss::dispatch(const mps::UnaryPass&) const {} // validate lets nothing come here

void CNNLoss::encode(const MTL::CommandBuffer& commandBuffer, const Image& source,
                     const CNNLossLabels& labels, const Image& destination) {
    mps::encodeLabelledLosses(subject(), *this, {descriptor_}, commandBuffer, {source}, {labels},
                              {destination}, false);
}

Image CNNLoss::encode(const MTL::CommandBuffer& commandBuffer, const Image& source,
                      const CNNLossLabels& labels) {
    return mps::encodeLabelledLosses(subject(), *this, {descriptor_}, commandBuffer, {source},
                                     {labels}, false)[0];
}

void CNNLoss::encodeBatch(const MTL::CommandBuffer& commandBuffer, const ImageBatch& sources,
                          const StateBatch& labels, const ImageBatch& destinations) {
    mps::encodeLabelledLosses(subject(), *this, {descriptor_}, commandBuffer, sources, labels,
                              destinations, true);
}

ImageBatch CNNLoss::encodeBatch(const MTL::CommandBuffer& commandBuffer, const ImageBatch& sources,
                                const StateBatch& labels) {
    return mps::encodeLabelledLosses(subject(), *this, {descriptor_}, commandBuffer, sources,
                                     labels, true);
}

namespace {

/// The values that NNForwardLoss hands to its gradient.
struct LossState : NNGradientState::Impl {
    LossState(const mps::StateRequest& request, const CNNLossDescriptor& d)
        : Impl(request.device, request.record), weight(d.weight()),
          labelSmoothing(d.labelSmoothing()), epsilon(d.epsilon()), delta(d.delta()) {}
    bool isOf(const CNNLossDescriptor& d) const {
        return weight == d.weight() && labelSmoothing == d.labelSmoothing() &&
               epsilon == d.epsilon() && delta == d.delta();
    }
    float weight, labelSmoothing, epsilon, delta;
};

} // namespace

NNForwardLoss::NNForwardLoss(const MTL::Device& device, const CNNLossDescriptor& lossDescriptor)
    : CNNKernel(device, "NNForwardLoss"), descriptor_(lossDescriptor) {
    mps::checkLossDescriptor("[NNForwardLoss] ", descriptor_);
}

NNForwardLoss NNForwardLoss::copy(const MTL::Device& device) const { return copied(*this, device); }

void NNForwardLoss::validate(const mps::UnaryPass&) const { mps::refuseWithoutLabels(subject()); }
void NNForwardLoss::dispatch(const mps::UnaryPass&) const {} // validate lets nothing come here

uint64_t NNForwardLoss::outputChannels(uint64_t sourceChannels) const {
    return reductionType() == CNNReductionType::None ? sourceChannels : 1;
}

void NNForwardLoss::customizeDestination(const ImageBatch&, ImageDescriptor& d) {
    if (reductionType() == CNNReductionType::None) return;
    d.setWidth(1);
    d.setHeight(1);
    d.setChannelFormat(ImageFeatureChannelFormat::Float32); // sums overflow halves
}

StateBatch NNForwardLoss::makeResultStates(const mps::StateRequest& request) const {
    StateBatch made;
    for (size_t i = 0; i < request.count(); ++i)
        made.push_back(NNGradientState(std::make_shared<LossState>(request, descriptor_)));
    return made;
}

void NNForwardLoss::encodeBatch(const MTL::CommandBuffer& commandBuffer, const ImageBatch& sources,
                                const ImageBatch& labels, const ImageBatch& weights,
                                const StateBatch& states, const ImageBatch& destinations) {
    run(commandBuffer, sources, labels, weights, states, destinations, false);
}

ImageBatch NNForwardLoss::encodeBatch(const MTL::CommandBuffer& commandBuffer,
                                      const ImageBatch& sources, const ImageBatch& labels,
                                      const ImageBatch& weights, StateBatch* states,
                                      bool isTemporary) {
    mps::checkSources(subject(), "sourceImages", sources, commandBuffer, true);
    const ImageDescriptor d = destinationImageDescriptor({sources[0]});
    const ImageBatch destinations =
        destinationImageAllocator()->imageBatch(commandBuffer, d, *this, sources.size());
    StateBatch made;
    if (states)
        made = isTemporary ? temporaryResultStateBatch(commandBuffer, sources, {}, destinations)
                           : resultStateBatch(sources, {}, destinations);
    run(commandBuffer, sources, labels, weights, made, destinations, true);
    if (states) *states = std::move(made);
    return destinations;
}

void NNForwardLoss::run(const MTL::CommandBuffer& commandBuffer, const ImageBatch& sources,
                        const ImageBatch& labels, const ImageBatch& weights,
                        const StateBatch& states, const ImageBatch& destinations, bool fresh) {
    const std::string who = subject();
    mps::LossImages images{sources, labels, weights, sourceFeatureChannelOffset()};
    images.channels = mps::checkLossPair(who, "sourceImages", sources, images.channelOffset,
                                         sourceFeatureChannelMaxCount(), destinations,
                                         destinationFeatureChannelOffset(), commandBuffer);
    mps::checkDevice(who, device(), commandBuffer);
    mps::checkLossSize(who, "destinationImages[0]", descriptor_, images, destinations[0],
                       destinationFeatureChannelOffset());
    mps::checkEdgeMode(who, "edgeMode", edgeMode());
    mps::checkWholeImages(who, "offset", offset(), clipRect(), destinations[0]);
    if (!states.empty())
        mps::checkStates(who, "destinationStates", states, sources.size(), commandBuffer);
    mps::checkOwnStates(who, "destinationStates", states, {}, className());
    for (const State& state : states)
        if (!static_cast<const LossState*>(state.shared().get())->isOf(descriptor_))
            throw InvalidArgument(who + "destinationStates were made for another weight, "
                                        "labelSmoothing, epsilon or delta than this encode has.");
    mps::checkLossImages(who, descriptor_, images, commandBuffer);
    mps::checkLossNotAliased(who, images, destinations);

    mps::Encoder encoder(commandBuffer, *this);
    const uint64_t channels = outputChannels(images.channels);
    if (fresh)
        mps::clearIfPartial(encoder, destinations, destinationFeatureChannelOffset(), channels);
    mps::encodeLosses(encoder, {descriptor_}, images,
                      {destinations, destinationFeatureChannelOffset(), channels}, {{}});
    mps::markLossRead(images);
}

NNLossGradient::NNLossGradient(const MTL::Device& device, const CNNLossDescriptor& lossDescriptor)
    : CNNBinaryKernel(device, "NNLossGradient"), descriptor_(lossDescriptor) {
    mps::checkLossDescriptor("[NNLossGradient] ", descriptor_);
}

NNLossGradient NNLossGradient::copy(const MTL::Device& device) const {
    return copied(*this, device);
}

void NNLossGradient::validate(const mps::BinaryPass&) const { mps::refuseWithoutLabels(subject()); }
void NNLossGradient::dispatch(const mps::BinaryPass&) const {} // validate lets nothing come here

void NNLossGradient::customizeDestination(const ImageBatch& sourceImages, const StateBatch&,
                                          ImageDescriptor& d) {
    const Image& source = sourceImages[1];
    const uint64_t channels =
        mps::channelsInUse(source, secondary().channelOffset, secondary().channelMaxCount);
    d.setWidth(source.width());
    d.setHeight(source.height());
    d.setFeatureChannels(destinationFeatureChannelOffset() + channels);
    d.setChannelFormat(source.featureChannelFormat());
    d.setStorage(source.storage());
}

void NNLossGradient::encodeBatch(const MTL::CommandBuffer& commandBuffer,
                                 const ImageBatch& gradients, const ImageBatch& sources,
                                 const ImageBatch& labels, const ImageBatch& weights,
                                 const StateBatch& states, const ImageBatch& destinations) {
    run(commandBuffer, {sources, labels, weights}, gradients, states, destinations, false);
}

ImageBatch NNLossGradient::encodeBatch(const MTL::CommandBuffer& commandBuffer,
                                       const ImageBatch& gradients, const ImageBatch& sources,
                                       const ImageBatch& labels, const ImageBatch& weights,
                                       const StateBatch& states) {
    mps::checkSources(subject(), "sourceGradients", gradients, commandBuffer, true);
    mps::checkSources(subject(), "sourceImages", sources, commandBuffer, true);
    mps::checkSources(subject(), "labels", labels, commandBuffer, true);
    ImageDescriptor d = destinationImageDescriptor({gradients[0], sources[0]}, {});
    if (computeLabelGradients_) {
        d.setFeatureChannels(destinationFeatureChannelOffset() + labels[0].featureChannels());
        d.setChannelFormat(labels[0].featureChannelFormat());
        d.setStorage(labels[0].storage());
    }
    const ImageBatch destinations =
        destinationImageAllocator()->imageBatch(commandBuffer, d, *this, sources.size());
    run(commandBuffer, {sources, labels, weights}, gradients, states, destinations, true);
    return destinations;
}

void NNLossGradient::run(const MTL::CommandBuffer& commandBuffer, const mps::LossImages& given,
                         const ImageBatch& gradients, const StateBatch& states,
                         const ImageBatch& destinations, bool fresh) {
    const std::string who = subject();
    mps::LossImages images = given;
    images.channelOffset = secondary().channelOffset;
    images.channels = mps::checkLossPair(who, "sourceImages", images.sources, images.channelOffset,
                                         secondary().channelMaxCount, destinations,
                                         destinationFeatureChannelOffset(), commandBuffer);
    mps::checkDevice(who, device(), commandBuffer);
    const Image& source = images.sources[0];
    mps::checkSources(who, "sourceGradients", gradients, commandBuffer, true);
    mps::checkBatchLengths(who, "sourceImages", images.sources.size(), "sourceGradients",
                           gradients.size());
    mps::checkSameShapes(who, "sourceGradients", gradients);
    mps::checkChannelOffset(who, "primarySourceFeatureChannelOffset", primary().channelOffset);
    if (!states.empty())
        mps::checkStates(who, "sourceStates", states, images.sources.size(), commandBuffer);
    CNNLossDescriptor d = descriptor_;
    for (size_t i = states.size(); i-- > 0;) {
        const auto* state = dynamic_cast<const LossState*>(states[i].shared().get());
        if (!state)
            throw InvalidArgument(who + "sourceStates[" + std::to_string(i) +
                                  "] was not made by a NNForwardLoss.");
        d.setWeight(state->weight);
        d.setLabelSmoothing(state->labelSmoothing);
        d.setEpsilon(state->epsilon);
        d.setDelta(state->delta);
    }
    mps::checkLossSize(who, "sourceGradients[0]", d, images, gradients[0], primary().channelOffset);
    mps::checkEdgeMode(who, "primaryEdgeMode", primaryEdgeMode());
    mps::checkEdgeMode(who, "secondaryEdgeMode", secondaryEdgeMode());
    mps::checkWholeImages(who, "primaryOffset", primary().offset, clipRect(), destinations[0]);
    mps::checkWholeImages(who, "secondaryOffset", secondary().offset, clipRect(), destinations[0]);
    mps::checkLossImages(who, d, images, commandBuffer);
    const uint64_t offset = destinationFeatureChannelOffset();
    const uint64_t available = mps::channelsInUse(destinations[0], offset, UINT64_MAX);
    // A gradient for the labels has all of their channels, of which no others have an effect.
    const uint64_t channels =
        computeLabelGradients_
            ? std::max(images.channels, std::min(available, images.labels[0].featureChannels()))
            : images.channels;
    mps::checkChannels(who, "destinationImages[0]", destinations[0], offset, channels);
    if (destinations[0].width() != source.width() || destinations[0].height() != source.height())
        throw InvalidArgument(who + "destinationImages[0] is " +
                              mps::sizeText(destinations[0].width(), destinations[0].height()) +
                              " but the gradient has the size of the source, " +
                              mps::sizeText(source.width(), source.height()) + ".");
    mps::checkLossNotAliased(who, images, destinations);
    mps::checkNotAliased(who, gradients, destinations);

    mps::Encoder encoder(commandBuffer, *this);
    if (fresh) mps::clearIfPartial(encoder, destinations, offset, channels);
    const uint64_t gradientChannels =
        reductionType() == CNNReductionType::None ? images.channels : 1;
    mps::encodeLossGradients(encoder, d, images,
                             {gradients, primary().channelOffset, gradientChannels},
                             {destinations, offset, channels}, computeLabelGradients_);
    images.sources.insert(images.sources.end(), gradients.begin(), gradients.end());
    mps::markLossRead(images); // an image that is also a gradient is read once
    markRead(states);
}

NNInitialGradient::NNInitialGradient(const MTL::Device& device)
    : CNNKernel(device, "NNInitialGradient") {}

NNInitialGradient NNInitialGradient::copy(const MTL::Device& device) const {
    return copied(*this, device);
}

void NNInitialGradient::dispatch(const mps::UnaryPass& pass) const {
    const glsl::NNInitialGradientParameters parameters{
        .destination = pass.destinationView,
        .clipX = int(pass.clip.x),
        .clipY = int(pass.clip.y),
    };
    pass.encoder->dispatch("NNInitialGradient", parameters, pass.clipGrid(),
                           {{1, pass.destination}});
}

} // namespace mpsvk::MPS
