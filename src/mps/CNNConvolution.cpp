#include "mps/ConvolutionPass.hpp"
#include "mps/PassChecks.hpp"

#include <mpsvk/Error.hpp>
#include <mpsvk/MPS/CNNConvolution.hpp>

namespace mpsvk::MPS {

namespace {
uint32_t neuronConstant(const CNNConvolutionDescriptor& d) {
    return uint32_t(d.fusedNeuronDescriptor().neuronType());
}
} // namespace

CNNConvolution::CNNConvolution(const MTL::Device& device, mps::ConvolutionSource source)
    : CNNConvolution(device, source, mps::descriptorOf("CNNConvolution", source),
                     "CNNConvolution") {}

CNNConvolution::CNNConvolution(const MTL::Device& device, mps::ConvolutionSource source,
                               const CNNConvolutionDescriptor& descriptor, const char* className)
    : CNNKernel(device, className, mps::windowOf(descriptor)),
      descriptor_(mps::checkedDescriptor("[" + std::string(className) + "] ", descriptor)) {
    setLabel(source->label());
    weights_ = std::make_shared<mps::ConvolutionWeights>(
        device, std::move(source), descriptor_, mps::ConvolutionWeights::Use::Forward,
        std::string_view(className) == "CNNFullyConnected" && mps::hasWholeTexels(descriptor_),
        MTL::subject(className, label()));
}

CNNConvolution::~CNNConvolution() = default;
CNNConvolution::CNNConvolution(CNNConvolution&&) noexcept = default;
CNNConvolution& CNNConvolution::operator=(CNNConvolution&&) noexcept = default;

CNNConvolution::CNNConvolution(const CNNConvolution& other)
    : CNNKernel(other), descriptor_(other.descriptor_),
      weights_(std::make_shared<mps::ConvolutionWeights>(*other.weights_)),
      precision_(other.precision_) {}

CNNConvolution& CNNConvolution::operator=(const CNNConvolution& other) {
    return *this = CNNConvolution(other);
}

CNNConvolution CNNConvolution::copy(const MTL::Device& device) const {
    CNNConvolution made(device ? device : this->device(), mps::sourceFor(dataSource(), device));
    static_cast<CNNKernel&>(made) = *this;
    made.setDevice(device);
    return made;
}

mps::ConvolutionSource CNNConvolution::dataSource() const { return weights_->source(); }
void CNNConvolution::reloadWeightsAndBiasesFromDataSource() { weights_->loadFromSource(subject()); }

void CNNConvolution::reloadWeightsAndBiases(const MTL::CommandBuffer& commandBuffer,
                                            const CNNConvolutionWeightsAndBiasesState& state) {
    mps::reloadWeights(subject(), descriptor_, *weights_, commandBuffer, state);
}

CNNConvolutionWeightsAndBiasesState
CNNConvolution::exportWeightsAndBiases(const MTL::CommandBuffer& commandBuffer,
                                       bool canBeTemporary) const {
    using State = CNNConvolutionWeightsAndBiasesState;
    const State state =
        canBeTemporary
            ? State::temporaryCNNConvolutionWeightsAndBiasesState(commandBuffer, descriptor_)
            : State(device(), descriptor_);
    mps::Encoder encoder(commandBuffer, subject());
    weights_->unpack(encoder, state.impl().weightsSlice(), state.impl().biasesSlice());
    return state;
}

CNNConvolutionWeightsAndBiasesState
CNNConvolution::exportOnDemand(const MTL::CommandBuffer& commandBuffer) const {
    const auto state =
        CNNConvolutionWeightsAndBiasesState::temporaryCNNConvolutionWeightsAndBiasesState(
            commandBuffer, descriptor_);
    state.impl().fillBeforeUse = [who = subject(), weights = weights_, commandBuffer,
                                  impl = &state.impl()] {
        mps::Encoder encoder(commandBuffer, who);
        weights->unpack(encoder, impl->weightsSlice(), impl->biasesSlice());
    };
    return state;
}

uint64_t CNNConvolution::outputChannels(uint64_t) const {
    return outputFeatureChannels() / (subPixelScaleFactor() * subPixelScaleFactor());
}

void CNNConvolution::customizeDestination(const ImageBatch&, ImageDescriptor& d) {
    d.setWidth(d.width() * subPixelScaleFactor());
    d.setHeight(d.height() * subPixelScaleFactor());
}

StateBatch CNNConvolution::makeResultStates(const mps::StateRequest& request) const {
    if (subPixelScaleFactor() != 1)
        throw InvalidArgument(
            subject() +
            "A gradient state was asked of a sub-pixel convolution, which has no gradient.");
    auto record = request.record;
    if (className() == "CNNFullyConnected") // its window is the source, whatever the offset says
        record.offset = {int64_t(kernelWidth() / 2), int64_t(kernelHeight() / 2), 0};
    // The state refers to the kernel as it is now; the weights stay shared.
    auto forward = std::shared_ptr<CNNConvolution>(new CNNConvolution(device(), *this));
    const CNNConvolutionGradientState state(std::make_shared<CNNConvolutionGradientState::Impl>(
        request.device, std::move(record), descriptor_, std::move(forward)));
    return StateBatch(request.count(), state);
}

CNNConvolution::CNNConvolution(const MTL::Device&, const CNNConvolution& other)
    : CNNKernel(other), descriptor_(other.descriptor_), weights_(other.weights_),
      precision_(other.precision_) {}

void CNNConvolution::validate(const mps::UnaryPass& pass) const {
    mps::checkEdgeMode(subject(), "edgeMode", pass.edgeMode);
    if (pass.sourceChannels < inputFeatureChannels())
        throw InvalidArgument(
            subject() + "sourceImage offers " + std::to_string(pass.sourceChannels) +
            " feature channels from channel " + std::to_string(sourceFeatureChannelOffset()) +
            " on but the convolution reads " + std::to_string(inputFeatureChannels()) + ".");
    for (const State& state : pass.states)
        if (!state.as<CNNConvolutionGradientState>())
            throw InvalidArgument(subject() +
                                  "destinationState is no gradient state of a convolution.");
}

void CNNConvolution::dispatch(const mps::UnaryPass& pass) const {
    const bool fullyConnected = className() == "CNNFullyConnected";
    const bool flat = fullyConnected && mps::canBeFlat(pass.source, sourceFeatureChannelOffset(),
                                                       inputFeatureChannels());
    const auto& layout = weights_->layout(*pass.encoder, flat);
    auto p = mps::commonParameters(layout, window());
    p.source = layout.shape.flat
                   ? mps::flatView(pass.source, layout.shape.inputs)
                   : pass.source.view(sourceFeatureChannelOffset(), inputFeatureChannels());
    p.destination = pass.destinationView;
    p.images = uint32_t(pass.imageCount);
    p.clipX = uint32_t(pass.clip.x);
    p.clipY = uint32_t(pass.clip.y);
    p.clipWidth = fullyConnected ? 1 : uint32_t(pass.clip.width);
    p.clipHeight = fullyConnected ? 1 : uint32_t(pass.clip.height);
    if (!fullyConnected) {
        p.originX = glsl::windowStart(
            int(pass.offset.x), glsl::dilatedExtent(int(kernelWidth()), int(dilationRateX())));
        p.originY = glsl::windowStart(
            int(pass.offset.y), glsl::dilatedExtent(int(kernelHeight()), int(dilationRateY())));
    }
    p.clampEdges = pass.edgeMode == ImageEdgeMode::Clamp;
    p.subPixelScale = layout.shape.subPixelScale;
    p.hasBias = weights_->hasBias();
    p.neuronA = fusedNeuronDescriptor().a();
    p.neuronB = fusedNeuronDescriptor().b();
    p.neuronC = fusedNeuronDescriptor().c();
    const uint32_t neuron = neuronConstant(descriptor_);
    if (layout.shape.depthwise) {
        pass.encoder->dispatch(
            "CNNConvolutionDepthwise", p,
            mps::Grid::of(pass.clip.width * pass.clip.height * layout.resultSlices *
                          pass.imageCount),
            {{1, pass.source}, {2, pass.destination}, {3, layout.packed}, {4, layout.channels}},
            {mps::constant(35, neuron)});
        return;
    }
    const auto windows = [&](uint64_t size) {
        return (size + p.subPixelScale - 1) / p.subPixelScale;
    };
    mps::dispatchProduct(*pass.encoder, "CNNConvolution", layout, p,
                         windows(p.clipWidth) * windows(p.clipHeight) * pass.imageCount, 1,
                         pass.source, pass.destination, neuron, false);
}

CNNFullyConnected::CNNFullyConnected(const MTL::Device& device, mps::ConvolutionSource source)
    : CNNConvolution(device, source, mps::descriptorOf("CNNFullyConnected", source),
                     "CNNFullyConnected") {
    setPadding(NNDefaultPadding::padding(NNPaddingMethod::SizeValidOnly));
}

CNNFullyConnected CNNFullyConnected::copy(const MTL::Device& device) const {
    CNNFullyConnected made(device ? device : this->device(), mps::sourceFor(dataSource(), device));
    static_cast<CNNKernel&>(made) = *this;
    made.setDevice(device);
    return made;
}

void CNNFullyConnected::validate(const mps::UnaryPass& pass) const {
    CNNConvolution::validate(pass);
    const Image& source = pass.sources[0];
    if (source.width() != kernelWidth() || source.height() != kernelHeight() ||
        strideInPixelsX() != 1 || strideInPixelsY() != 1 || groups() != 1 || dilationRateX() != 1 ||
        dilationRateY() != 1)
        throw InvalidArgument(
            subject() + "sourceImage is " + mps::sizeText(source.width(), source.height()) +
            " but a fully connected kernel of " + mps::sizeText(kernelWidth(), kernelHeight()) +
            " takes a source of its own size, with stride, dilation and groups 1.");
}

} // namespace mpsvk::MPS
