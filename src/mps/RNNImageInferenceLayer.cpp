#include "mps/Archive.hpp"
#include "mps/Image.hpp"
#include "mps/PassChecks.hpp"
#include "mps/RNNImageLayer.hpp"

#include <mpsvk/Error.hpp>
#include <mpsvk/MPS/CNNMath.hpp>

#include <algorithm>

namespace mpsvk::MPS {

struct RNNRecurrentImageState::Impl : State::Impl {
    using State::Impl::Impl;
    std::vector<Image> outputs, cells; ///< of each layer; a cell is empty where there is none
};

RNNRecurrentImageState::RNNRecurrentImageState(std::shared_ptr<Impl> impl)
    : State(std::move(impl)) {}

RNNRecurrentImageState::Impl& RNNRecurrentImageState::impl() const {
    return static_cast<Impl&>(State::impl());
}

bool RNNRecurrentImageState::isKindOf(const detail::ObjectImpl& object) {
    return dynamic_cast<const Impl*>(&object) != nullptr;
}

Image RNNRecurrentImageState::getRecurrentOutputImage(uint64_t layerIndex) const {
    const auto& all = impl().outputs;
    return layerIndex < all.size() ? all[layerIndex] : Image();
}

Image RNNRecurrentImageState::getMemoryCellImage(uint64_t layerIndex) const {
    const auto& all = impl().cells;
    return layerIndex < all.size() ? all[layerIndex] : Image();
}

struct RNNImageInferenceLayer::Layers {
    std::vector<mps::RNNImageLayer> all;
};

namespace {

using mps::RNNImageLayer;
using mps::RNNImageStep;
using Mode = RNNBidirectionalCombineMode;

std::string sizeOf(const Image& image) {
    return std::to_string(image.numberOfImages()) + " of " +
           mps::sizeText(image.width(), image.height());
}

/// As many images as time steps, all of one size, with the channels that are needed.
void checkImages(const std::string& who, const char* role, const std::vector<Image>& images,
                 const MTL::CommandBuffer& commands, size_t steps, const Image& like,
                 uint64_t channelOffset, uint64_t channels) {
    if (images.size() != steps)
        throw InvalidArgument(who + role + " has " + std::to_string(images.size()) +
                              " images but there are " + std::to_string(steps) + " time steps.");
    for (size_t i = 0; i < images.size(); ++i) {
        const Image& image = images[i];
        const std::string name = std::string(role) + "[" + std::to_string(i) + "]";
        if (!image) throw InvalidArgument(who + name + " is empty.");
        image.impl().checkUsable(who, name.c_str(), commands);
        if (sizeOf(image) != sizeOf(like))
            throw InvalidArgument(who + name + " has " + sizeOf(image) +
                                  " pixels but the first "
                                  "source has " +
                                  sizeOf(like) + ".");
        if (image.featureChannels() < channelOffset + channels)
            throw InvalidArgument(who + name + " has " + std::to_string(image.featureChannels()) +
                                  " feature channels but " +
                                  std::to_string(channelOffset + channels) + " are needed.");
    }
}

/// Layers in one direction, one time step after the other.
class ImageStack {
public:
    ImageStack(mps::Encoder& encoder, std::vector<RNNImageLayer*> layers, ImageEdgeMode edgeMode)
        : encoder_(encoder), layers_(std::move(layers)), edgeMode_(edgeMode),
          states_(layers_.size()) {}
    std::vector<RNNImageStep>& states() { return states_; }

    const Image& step(const Image& source, uint64_t channelOffset) {
        Image input = source;
        for (size_t i = 0; i < layers_.size(); ++i) {
            const auto rows = layers_[i]->rowOperands(encoder_.limits());
            states_[i] = mps::RNNImageForward(encoder_, *layers_[i], rows, edgeMode_,
                                              i == 0 ? channelOffset : 0)
                             .step(input, states_[i]);
            input = states_[i].output;
        }
        return states_.back().output;
    }

private:
    mps::Encoder& encoder_;
    std::vector<RNNImageLayer*> layers_;
    const ImageEdgeMode edgeMode_;
    std::vector<RNNImageStep> states_;
};

std::vector<const mps::RNNShape*> shapesOf(const std::vector<RNNImageLayer*>& layers) {
    std::vector<const mps::RNNShape*> shapes;
    for (const RNNImageLayer* layer : layers) shapes.push_back(&layer->shape);
    return shapes;
}

/// An encode reads a source once, in however many time steps and directions it stands.
void readOnce(const std::vector<Image>& sources, int64_t directions) {
    for (auto image = sources.begin(); image != sources.end(); ++image)
        if (std::find(sources.begin(), image, *image) == image)
            ImageBatchIncrementReadCount({*image},
                                         directions * std::count(image, sources.end(), *image) - 1);
}

void copyImage(mps::Encoder& encoder, const Image& from, const Image& to) {
    encoder.list().copy(mps::sliceOf(from), mps::sliceOf(to));
}

} // namespace

RNNImageInferenceLayer::RNNImageInferenceLayer(const MTL::Device& device,
                                               const std::vector<RNNDescriptor>& rnnDescriptors)
    : CNNKernel(device, "RNNImageInferenceLayer"), layers_(std::make_shared<Layers>()) {
    const std::string who = "[RNNImageInferenceLayer] ";
    if (rnnDescriptors.empty())
        throw InvalidArgument(who + "rnnDescriptors is empty but a stack has at least one layer.");
    for (const RNNDescriptor& descriptor : rnnDescriptors)
        layers_->all.emplace_back(who, device, descriptor);
}

RNNImageInferenceLayer::RNNImageInferenceLayer(KeyedUnarchiver& coder, const MTL::Device& device)
    : CNNKernel(deviceFor(coder, device), "RNNImageInferenceLayer"),
      layers_(std::make_shared<Layers>()) {
    unarchive(coder);
}

RNNImageInferenceLayer::~RNNImageInferenceLayer() = default;
RNNImageInferenceLayer::RNNImageInferenceLayer(const RNNImageInferenceLayer& other)
    : CNNKernel(other), layers_(std::make_shared<Layers>(*other.layers_)),
      recurrentOutputIsTemporary_(other.recurrentOutputIsTemporary_),
      storeAllIntermediateStates_(other.storeAllIntermediateStates_),
      bidirectionalCombineMode_(other.bidirectionalCombineMode_) {}
RNNImageInferenceLayer& RNNImageInferenceLayer::operator=(const RNNImageInferenceLayer& other) {
    CNNKernel::operator=(other);
    layers_ = std::make_shared<Layers>(*other.layers_);
    recurrentOutputIsTemporary_ = other.recurrentOutputIsTemporary_;
    storeAllIntermediateStates_ = other.storeAllIntermediateStates_;
    bidirectionalCombineMode_ = other.bidirectionalCombineMode_;
    return *this;
}

RNNImageInferenceLayer RNNImageInferenceLayer::copy(const MTL::Device& device) const {
    RNNImageInferenceLayer made(*this);
    made.setDevice(device);
    if (!(made.device() == this->device()))
        for (RNNImageLayer& layer : made.layers_->all) layer.moveTo(made.device());
    return made;
}

void RNNImageInferenceLayer::archive(mps::Archive& archive) {
    CNNKernel::archive(archive);
    archive("recurrentOutputIsTemporary", recurrentOutputIsTemporary_);
    archive("storeAllIntermediateStates", storeAllIntermediateStates_);
    archive("bidirectionalCombineMode", bidirectionalCombineMode_);
    uint64_t count = layers_->all.size();
    archive("numberOfLayers", count);
    if (archive.isReading() && (count == 0 || count > 65536))
        throw InvalidArgument("[RNNImageInferenceLayer] The archive has " + std::to_string(count) +
                              " layers.");
    for (uint64_t i = 0; i < count; ++i) {
        if (archive.isReading()) layers_->all.emplace_back(device());
        archive(("layer" + std::to_string(i)).c_str(), layers_->all[i]);
    }
}

uint64_t RNNImageInferenceLayer::inputFeatureChannels() const {
    return layers_->all.front().shape.inputs;
}
uint64_t RNNImageInferenceLayer::outputFeatureChannels() const {
    return layers_->all.back().shape.outputs;
}
uint64_t RNNImageInferenceLayer::numberOfLayers() const { return layers_->all.size(); }

void RNNImageInferenceLayer::validate(const mps::UnaryPass&) const {
    throw InvalidArgument(subject() + "An image was given to an encode of CNNKernel but a sequence "
                                      "is encoded with encodeSequence.");
}

void RNNImageInferenceLayer::dispatch(const mps::UnaryPass&) const {} // validate lets nothing here

void RNNImageInferenceLayer::checkProperties() const {
    const std::string who = subject();
    if (!(offset() == Offset{}) || !(clipRect() == RectNoClip))
        throw InvalidArgument(who + "offset or clipRect was set but a recurrent layer always works "
                                    "on whole images.");
    if (sourceFeatureChannelMaxCount() != UINT64_MAX)
        throw InvalidArgument(who + "sourceFeatureChannelMaxCount was set but a recurrent layer "
                                    "reads as many channels as it has.");
    mps::checkEdgeMode(who, "edgeMode", edgeMode());
    mps::checkChannelOffset(who, "sourceFeatureChannelOffset", sourceFeatureChannelOffset());
    mps::checkChannelOffset(who, "destinationFeatureChannelOffset",
                            destinationFeatureChannelOffset());
}

void RNNImageInferenceLayer::encodeSequence(
    const MTL::CommandBuffer& commandBuffer, const std::vector<Image>& sourceImages,
    const std::vector<Image>& destinationImages, const RNNRecurrentImageState& recurrentInputState,
    std::vector<RNNRecurrentImageState>* recurrentOutputStates) {
    const std::string who = subject();
    mps::checkSources(who, "sourceImages", sourceImages, commandBuffer, true,
                      sourceImages.empty() || !sourceImages[0] ? 1
                                                               : sourceImages[0].numberOfImages());
    mps::checkDevice(who, device(), commandBuffer);
    checkProperties();
    mps::Encoder encoder(commandBuffer, *this);
    std::vector<RNNImageLayer*> layers;
    for (RNNImageLayer& layer : layers_->all) layers.push_back(&layer);
    mps::checkChain(who, shapesOf(layers));
    const Image& like = sourceImages[0];
    const size_t steps = sourceImages.size();
    checkImages(who, "sourceImages", sourceImages, commandBuffer, steps, like,
                sourceFeatureChannelOffset(), inputFeatureChannels());
    checkImages(who, "destinationImages", destinationImages, commandBuffer, steps, like,
                destinationFeatureChannelOffset(), outputFeatureChannels());
    mps::checkNotAliased(who, sourceImages, destinationImages);
    const ImageDescriptor size(ImageFeatureChannelFormat::Float32, like.width(), like.height(), 1,
                               like.numberOfImages());
    if (recurrentInputState) {
        const auto& state = recurrentInputState.impl();
        state.checkUsable(who, "recurrentInputState", commandBuffer);
        if (state.outputs.size() != layers.size())
            throw InvalidArgument(who + "recurrentInputState has " +
                                  std::to_string(state.outputs.size()) + " layers but there are " +
                                  std::to_string(layers.size()) + ".");
        for (size_t i = 0; i < layers.size(); ++i) {
            const auto& shape = layers[i]->shape;
            if (state.outputs[i].featureChannels() != shape.outputs ||
                bool(state.cells[i]) != shape.isLSTM() || sizeOf(state.outputs[i]) != sizeOf(like))
                throw InvalidArgument(who +
                                      "recurrentInputState has other feature channels, "
                                      "another size or another kind of layer than layer " +
                                      std::to_string(i) + ".");
            for (const Image& image : {state.outputs[i], state.cells[i]})
                if (image)
                    image.impl().checkUsable(who, "An image of recurrentInputState", commandBuffer);
        }
    }

    readOnce(sourceImages, 1);
    ImageStack stack(encoder, layers, edgeMode());
    if (recurrentInputState) {
        auto& state = recurrentInputState.impl();
        for (size_t i = 0; i < layers.size(); ++i) {
            const auto copied = [&](const Image& image) {
                if (!image) return Image();
                const Image made =
                    mps::unboundedImage(commandBuffer, size, image.featureChannels());
                copyImage(encoder, image, made);
                return made;
            };
            stack.states()[i] = {copied(state.outputs[i]), copied(state.cells[i])};
        }
        state.wasRead();
        if (state.temporary && state.readCount == 0)
            for (const auto* images : {&state.outputs, &state.cells})
                for (const Image& image : *images)
                    if (image && image.impl().readCount > 0) image.impl().setReadCount(0);
    }
    std::vector<RNNRecurrentImageState> made;
    for (size_t t = 0; t < steps; ++t) {
        const Image& output = stack.step(sourceImages[t], sourceFeatureChannelOffset());
        mps::copyChannels(commandBuffer, output, 0, outputFeatureChannels(), destinationImages[t],
                          destinationFeatureChannelOffset());
        if (!recurrentOutputStates || (!storeAllIntermediateStates_ && t + 1 < steps)) continue;
        auto state = std::make_shared<RNNRecurrentImageState::Impl>(device());
        if (recurrentOutputIsTemporary_) state->makeTemporary(commandBuffer);
        const auto kept = [&](const Image& image) {
            if (!image) return Image();
            ImageDescriptor d = size;
            d.setFeatureChannels(image.featureChannels());
            d.setStorage(ImageStorage::Buffer);
            const Image copy = recurrentOutputIsTemporary_ ? Image(TemporaryImage(commandBuffer, d))
                                                           : Image(device(), d);
            copyImage(encoder, image, copy);
            return copy;
        };
        for (const RNNImageStep& step : stack.states()) {
            state->outputs.push_back(kept(step.output));
            state->cells.push_back(kept(step.cell));
        }
        made.emplace_back(std::move(state));
    }
    if (recurrentOutputStates)
        recurrentOutputStates->insert(recurrentOutputStates->end(), made.begin(), made.end());
}

void RNNImageInferenceLayer::encodeBidirectionalSequence(
    const MTL::CommandBuffer& commandBuffer, const std::vector<Image>& sourceSequence,
    const std::vector<Image>& destinationForwardImages,
    const std::vector<Image>& destinationBackwardImages) {
    const std::string who = subject();
    mps::checkSources(
        who, "sourceSequence", sourceSequence, commandBuffer, true,
        sourceSequence.empty() || !sourceSequence[0] ? 1 : sourceSequence[0].numberOfImages());
    mps::checkDevice(who, device(), commandBuffer);
    checkProperties();
    mps::Encoder encoder(commandBuffer, *this);
    std::vector<RNNImageLayer*> stacks[2];
    for (RNNImageLayer& layer : layers_->all)
        stacks[layer.shape.direction == RNNSequenceDirection::Backward].push_back(&layer);
    const Mode mode = bidirectionalCombineMode_;
    mps::checkDirections(who, {shapesOf(stacks[0]), shapesOf(stacks[1])}, mode);
    const uint64_t inputs = stacks[0][0]->shape.inputs;
    const uint64_t outputs[2] = {stacks[0].back()->shape.outputs, stacks[1].back()->shape.outputs};
    if (mode == Mode::Concatenate && outputs[0] % 4 != 0)
        throw InvalidArgument(who + "The stack forward has " + std::to_string(outputs[0]) +
                              " output feature channels but must have a multiple of 4 for the "
                              "other's to follow them.");
    if (mode != Mode::None && !destinationBackwardImages.empty())
        throw InvalidArgument(who + "destinationBackwardImages has " +
                              std::to_string(destinationBackwardImages.size()) +
                              " images but both directions' results are combined in the forward "
                              "destinations.");
    const Image& like = sourceSequence[0];
    const size_t steps = sourceSequence.size();
    const uint64_t first = destinationFeatureChannelOffset();
    checkImages(who, "sourceSequence", sourceSequence, commandBuffer, steps, like,
                sourceFeatureChannelOffset(), inputs);
    checkImages(who, "destinationForwardImages", destinationForwardImages, commandBuffer, steps,
                like, first, outputs[0] + (mode == Mode::Concatenate ? outputs[1] : 0));
    mps::checkNotAliased(who, sourceSequence, destinationForwardImages);
    if (mode == Mode::None) {
        checkImages(who, "destinationBackwardImages", destinationBackwardImages, commandBuffer,
                    steps, like, first, outputs[1]);
        mps::checkNotAliased(who, sourceSequence, destinationBackwardImages);
        mps::checkNotAliased(who, destinationForwardImages, destinationBackwardImages);
    }

    readOnce(sourceSequence, 2);
    ImageStack forward(encoder, stacks[0], edgeMode()), backward(encoder, stacks[1], edgeMode());
    std::vector<Image> results; // kept for a sum only
    for (size_t t = 0; t < steps; ++t) {
        const Image& output = forward.step(sourceSequence[t], sourceFeatureChannelOffset());
        if (mode == Mode::Add)
            results.push_back(output);
        else
            mps::copyChannels(commandBuffer, output, 0, outputs[0], destinationForwardImages[t],
                              first);
    }
    CNNAdd add(device());
    add.setDestinationFeatureChannelOffset(first);
    for (size_t t = steps; t-- > 0;) {
        const Image& output = backward.step(sourceSequence[t], sourceFeatureChannelOffset());
        if (mode == Mode::Add)
            add.encode(commandBuffer, results[t], output, destinationForwardImages[t]);
        else if (mode == Mode::Concatenate)
            mps::copyChannels(commandBuffer, output, 0, outputs[1], destinationForwardImages[t],
                              first + outputs[0]);
        else
            mps::copyChannels(commandBuffer, output, 0, outputs[1], destinationBackwardImages[t],
                              first);
    }
}

} // namespace mpsvk::MPS
