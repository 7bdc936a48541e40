#include "mps/ConvolutionGradientPass.hpp"
#include "mps/ConvolutionPass.hpp"
#include "mps/PassChecks.hpp"

#include <mpsvk/Error.hpp>
#include <mpsvk/MPS/CNNConvolutionTranspose.hpp>

#include <algorithm>

namespace mpsvk::MPS {

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
    CNNConvolution made = *this;
    made.moveTo(device);
    return made;
}

void CNNConvolution::moveTo(const MTL::Device& device) {
    setDevice(device);
    weights_->moveTo(this->device());
}

mps::ConvolutionSource CNNConvolution::dataSource() const { return weights_->source(); }
void CNNConvolution::reloadWeightsAndBiasesFromDataSource() { weights_->loadFromSource(subject()); }

void CNNConvolution::reloadWeightsAndBiases(const MTL::CommandBuffer& commandBuffer,
                                            const CNNConvolutionWeightsAndBiasesState& state) {
    mps::reloadWeights(*this, descriptor_, *weights_, commandBuffer, state);
}

CNNConvolutionWeightsAndBiasesState
CNNConvolution::exportWeightsAndBiases(const MTL::CommandBuffer& commandBuffer,
                                       bool canBeTemporary) const {
    return mps::exportWeights(subject(), descriptor_, *weights_, commandBuffer, canBeTemporary);
}

CNNConvolutionWeightsAndBiasesState
CNNConvolution::exportOnDemand(const MTL::CommandBuffer& commandBuffer) const {
    return mps::exportWeightsOnDemand(subject(), descriptor_, weights_, commandBuffer);
}

CNNConvolutionGradientState CNNConvolution::resultState(const Image& source,
                                                        const StateBatch& sourceStates,
                                                        const Image& destination) const {
    return CNNKernel::resultState(source, sourceStates, destination)
        .as<CNNConvolutionGradientState>();
}

CNNConvolutionGradientState
CNNConvolution::temporaryResultState(const MTL::CommandBuffer& commandBuffer, const Image& source,
                                     const StateBatch& sourceStates,
                                     const Image& destination) const {
    return CNNKernel::temporaryResultState(commandBuffer, source, sourceStates, destination)
        .as<CNNConvolutionGradientState>();
}

uint64_t CNNConvolution::outputChannels(uint64_t) const {
    return outputFeatureChannels() / (subPixelScaleFactor() * subPixelScaleFactor());
}

void CNNConvolution::customizeDestination(const ImageBatch&, ImageDescriptor& d) {
    if (isFullyConnected()) { // one window, whatever the padding policy says
        d.setWidth(1);
        d.setHeight(1);
        return;
    }
    d.setWidth(d.width() * subPixelScaleFactor());
    d.setHeight(d.height() * subPixelScaleFactor());
}

StateBatch CNNConvolution::makeResultStates(const mps::StateRequest& request) const {
    if (subPixelScaleFactor() != 1)
        throw InvalidArgument(
            subject() +
            "A gradient state was asked of a sub-pixel convolution, which has no gradient.");
    auto record = request.record;
    if (isFullyConnected()) { // its window is the source, whatever the offset says
        record.offset = {int64_t(kernelWidth() / 2), int64_t(kernelHeight() / 2), record.offset.z};
        record.clip.width = std::min<uint64_t>(record.clip.width, 1);
        record.clip.height = std::min<uint64_t>(record.clip.height, 1);
    }
    // The state refers to the kernel as it is now; the weights stay shared.
    const CNNConvolutionGradientState state(std::make_shared<CNNConvolutionGradientState::Impl>(
        request.device, std::move(record), descriptor_, sharing()));
    return StateBatch(request.count(), state);
}

std::shared_ptr<const CNNConvolution> CNNConvolution::sharing() const {
    return std::shared_ptr<const CNNConvolution>(new CNNConvolution(device(), *this));
}

std::shared_ptr<const CNNConvolution> CNNFullyConnected::sharing() const {
    return std::shared_ptr<const CNNConvolution>(new CNNFullyConnected(device(), *this));
}

CNNConvolution::CNNConvolution(const MTL::Device&, const CNNConvolution& other)
    : CNNKernel(other), descriptor_(other.descriptor_), weights_(other.weights_),
      precision_(other.precision_) {}

void CNNConvolution::validate(const mps::UnaryPass& pass) const {
    if (!isFullyConnected())
        mps::checkWindowReach(subject(), pass.offset, pass.window, pass.clip.width,
                              pass.clip.height);
    mps::checkInputs(subject(), pass, sourceFeatureChannelOffset(), inputFeatureChannels());
    mps::checkPrecision(subject(), precision_, *weights_);
    for (const State& state : pass.states) {
        const auto gradient = state.as<CNNConvolutionGradientState>();
        if (!gradient || state.as<CNNConvolutionTransposeGradientState>())
            throw InvalidArgument(subject() +
                                  "destinationState is no gradient state of a convolution.");
        mps::checkState(subject(), "destinationState", gradient, descriptor_);
    }
}

void CNNConvolution::dispatch(const mps::UnaryPass& pass) const {
    const bool flat =
        isFullyConnected() &&
        mps::canBeFlat(pass.source, sourceFeatureChannelOffset(), inputFeatureChannels());
    auto& layout = weights_->layout(*pass.encoder, flat);
    auto p = mps::commonParameters(layout, window());
    p.source = layout.shape.flat
                   ? mps::flatView(pass.source, layout.shape.inputs)
                   : pass.source.view(sourceFeatureChannelOffset(), inputFeatureChannels());
    p.destination = pass.destinationView;
    p.images = uint32_t(pass.imageCount);
    mps::setClip(p, pass.clip);
    if (isFullyConnected()) p.clipWidth = p.clipHeight = 1;
    if (!isFullyConnected()) {
        p.originX = glsl::windowStart(
            int(pass.offset.x), glsl::dilatedExtent(int(kernelWidth()), int(dilationRateX())));
        p.originY = glsl::windowStart(
            int(pass.offset.y), glsl::dilatedExtent(int(kernelHeight()), int(dilationRateY())));
    }
    p.clampEdges = pass.edgeMode == ImageEdgeMode::Clamp;
    p.subPixelScale = layout.shape.subPixelScale;
    const uint32_t neuron = mps::setFused(p, descriptor_, *weights_);
    mps::dispatchGather(*pass.encoder, *weights_, layout, p, pass.source, pass.destination, neuron);
}

CNNFullyConnected::CNNFullyConnected(const MTL::Device& device, mps::ConvolutionSource source)
    : CNNConvolution(device, source, mps::descriptorOf("CNNFullyConnected", source),
                     "CNNFullyConnected") {
    setPadding(NNDefaultPadding::padding(NNPaddingMethod::SizeValidOnly));
}

CNNFullyConnected CNNFullyConnected::copy(const MTL::Device& device) const {
    CNNFullyConnected made = *this;
    made.moveTo(device);
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
