#include "mps/CNNConvolutionState.hpp"
#include "mps/ConvolutionGradientPass.hpp"
#include "mps/ConvolutionPass.hpp"
#include "mps/Names.hpp"
#include "mps/PassChecks.hpp"

#include <mpsvk/Error.hpp>
#include <mpsvk/MPS/CNNConvolutionTranspose.hpp>

namespace mpsvk::MPS {

namespace {

/// The state as a convolution's own: not a transposed convolution's. Empty for any other.
CNNConvolutionGradientState convolutionState(const State& state) {
    if (!state || state.as<CNNConvolutionTransposeGradientState>()) return {};
    return state.as<CNNConvolutionGradientState>();
}

void checkCoupled(const std::string& who, const StateBatch& states) {
    for (const State& state : states)
        if (!convolutionState(state))
            throw InvalidArgument(
                who + "convolutionGradientState is no gradient state of a CNNConvolution.");
}

StateBatch given(const State& state) { return state ? StateBatch{state} : StateBatch{}; }

} // namespace

CNNConvolutionTranspose::CNNConvolutionTranspose(const MTL::Device& device,
                                                 mps::ConvolutionSource source)
    : CNNConvolutionTranspose(device, source,
                              mps::descriptorOf("CNNConvolutionTranspose", source)) {}

CNNConvolutionTranspose::CNNConvolutionTranspose(const MTL::Device& device,
                                                 mps::ConvolutionSource source,
                                                 const CNNConvolutionDescriptor& descriptor)
    : CNNKernel(device, "CNNConvolutionTranspose", mps::windowOf(descriptor)),
      descriptor_(mps::checkedDescriptor("[CNNConvolutionTranspose] ", descriptor)) {
    setLabel(source->label());
    if (descriptor_.subPixelScaleFactor() != 1)
        throw InvalidArgument(subject() + "The descriptor's subPixelScaleFactor is " +
                              std::to_string(descriptor_.subPixelScaleFactor()) +
                              " but a transposed convolution knows only 1.");
    weights_ = std::make_shared<mps::ConvolutionWeights>(
        device, std::move(source), descriptor_, mps::ConvolutionWeights::Use::TransposeForward,
        false, subject());
}

CNNConvolutionTranspose::~CNNConvolutionTranspose() = default;
CNNConvolutionTranspose::CNNConvolutionTranspose(CNNConvolutionTranspose&&) noexcept = default;
CNNConvolutionTranspose&
CNNConvolutionTranspose::operator=(CNNConvolutionTranspose&&) noexcept = default;

CNNConvolutionTranspose::CNNConvolutionTranspose(const CNNConvolutionTranspose& other)
    : CNNConvolutionTranspose(other.device(), other) {
    weights_ = std::make_shared<mps::ConvolutionWeights>(*other.weights_);
}

CNNConvolutionTranspose& CNNConvolutionTranspose::operator=(const CNNConvolutionTranspose& other) {
    return *this = CNNConvolutionTranspose(other);
}

CNNConvolutionTranspose::CNNConvolutionTranspose(const MTL::Device&,
                                                 const CNNConvolutionTranspose& other)
    : CNNKernel(other), descriptor_(other.descriptor_), weights_(other.weights_),
      kernelOffsetX_(other.kernelOffsetX_), kernelOffsetY_(other.kernelOffsetY_),
      precision_(other.precision_) {}

CNNConvolutionTranspose CNNConvolutionTranspose::copy(const MTL::Device& device) const {
    CNNConvolutionTranspose made = *this;
    made.setDevice(device);
    made.weights_->moveTo(made.device());
    return made;
}

mps::ConvolutionSource CNNConvolutionTranspose::dataSource() const { return weights_->source(); }

void CNNConvolutionTranspose::reloadWeightsAndBiasesFromDataSource() {
    weights_->loadFromSource(subject());
}

void CNNConvolutionTranspose::reloadWeightsAndBiases(
    const MTL::CommandBuffer& commandBuffer, const CNNConvolutionWeightsAndBiasesState& state) {
    mps::reloadWeights(*this, descriptor_, *weights_, commandBuffer, state);
}

CNNConvolutionWeightsAndBiasesState
CNNConvolutionTranspose::exportWeightsAndBiases(const MTL::CommandBuffer& commandBuffer,
                                                bool canBeTemporary) const {
    return mps::exportWeights(subject(), descriptor_, *weights_, commandBuffer, canBeTemporary);
}

CNNConvolutionWeightsAndBiasesState
CNNConvolutionTranspose::exportOnDemand(const MTL::CommandBuffer& commandBuffer) const {
    return mps::exportWeightsOnDemand(subject(), descriptor_, weights_, commandBuffer);
}

Image CNNConvolutionTranspose::encode(const MTL::CommandBuffer& commandBuffer, const Image& source,
                                      const State& convolutionState) {
    return encode(commandBuffer, source, convolutionState, nullptr, false);
}

Image CNNConvolutionTranspose::encode(const MTL::CommandBuffer& commandBuffer, const Image& source,
                                      const State& convolutionState,
                                      CNNConvolutionTransposeGradientState* destinationState,
                                      bool isTemporary) {
    checkCoupled(subject(), given(convolutionState));
    StateBatch made;
    const ImageBatch y = encodeReturning(commandBuffer, {source}, given(convolutionState),
                                         destinationState ? &made : nullptr, isTemporary, false);
    if (destinationState) *destinationState = made[0].as<CNNConvolutionTransposeGradientState>();
    return y[0];
}

ImageBatch CNNConvolutionTranspose::encodeBatch(const MTL::CommandBuffer& commandBuffer,
                                                const ImageBatch& sources,
                                                const StateBatch& convolutionStates) {
    return encodeBatch(commandBuffer, sources, convolutionStates, nullptr, false);
}

ImageBatch CNNConvolutionTranspose::encodeBatch(const MTL::CommandBuffer& commandBuffer,
                                                const ImageBatch& sources,
                                                const StateBatch& convolutionStates,
                                                StateBatch* destinationStates, bool isTemporary) {
    checkCoupled(subject(), convolutionStates);
    return encodeReturning(commandBuffer, sources, convolutionStates, destinationStates,
                           isTemporary, true);
}

CNNConvolutionTransposeGradientState
CNNConvolutionTranspose::resultState(const Image& source, const StateBatch& sourceStates,
                                     const Image& destination) const {
    return CNNKernel::resultState(source, sourceStates, destination)
        .as<CNNConvolutionTransposeGradientState>();
}

CNNConvolutionTransposeGradientState
CNNConvolutionTranspose::temporaryResultState(const MTL::CommandBuffer& commandBuffer,
                                              const Image& source, const StateBatch& sourceStates,
                                              const Image& destination) const {
    return CNNKernel::temporaryResultState(commandBuffer, source, sourceStates, destination)
        .as<CNNConvolutionTransposeGradientState>();
}

void CNNConvolutionTranspose::customizeDestination(const ImageBatch&, ImageDescriptor&) {
    // The policy has placed the window in the spread source.
    kernelOffsetX_ = offset().x;
    kernelOffsetY_ = offset().y;
    setOffset({0, 0, offset().z});
}

StateBatch CNNConvolutionTranspose::makeResultStates(const mps::StateRequest& request) const {
    for (const StateBatch& states : request.sourceStates) checkCoupled(subject(), states);
    const bool coupled = !request.sourceStates.empty() && !request.sourceStates[0].empty();
    auto record = request.record;
    record.kernelOffsetX = kernelOffsetX_;
    record.kernelOffsetY = kernelOffsetY_;
    // The state refers to the kernel as it is now; the weights stay shared.
    auto forward =
        std::shared_ptr<CNNConvolutionTranspose>(new CNNConvolutionTranspose(device(), *this));
    const CNNConvolutionTransposeGradientState state(
        std::make_shared<CNNConvolutionTransposeGradientState::Impl>(
            request.device, std::move(record), descriptor_, std::move(forward),
            coupled ? convolutionState(request.sourceStates[0][0])
                    : CNNConvolutionGradientState()));
    return StateBatch(request.count(), state);
}

StateBatch CNNConvolutionTranspose::statesRead(const StateBatch& states) const {
    StateBatch read;
    for (const State& state : states) {
        const auto own = state.as<CNNConvolutionTransposeGradientState>();
        if (!own)
            read.push_back(state);
        else if (own.impl().coupled)
            read.push_back(own.impl().coupled);
    }
    return read;
}

void CNNConvolutionTranspose::validate(const mps::UnaryPass& pass) const {
    if (pass.edgeMode != ImageEdgeMode::Zero)
        throw InvalidArgument(subject() + "edgeMode is " + mps::nameOf(pass.edgeMode) +
                              " but must be Zero: around its spread source a transposed "
                              "convolution reads zeros.");
    mps::checkSpreadReach(subject(), pass.offset, {kernelOffsetX_, kernelOffsetY_, 0}, pass.window,
                          pass.sources[0].width(), pass.sources[0].height());
    mps::checkInputs(subject(), pass, sourceFeatureChannelOffset(), inputFeatureChannels());
    mps::checkPrecision(subject(), precision_, *weights_);
    for (const State& state : pass.states) {
        if (!state.as<CNNConvolutionGradientState>())
            throw InvalidArgument(subject() +
                                  "The state is neither a gradient state of a transposed "
                                  "convolution nor one of a convolution.");
        if (const auto own = state.as<CNNConvolutionTransposeGradientState>())
            mps::checkState(subject(), "destinationState", own, descriptor_);
    }
}

void CNNConvolutionTranspose::dispatch(const mps::UnaryPass& pass) const {
    auto& layout = weights_->layout(*pass.encoder, false);
    auto p = mps::commonParameters(layout, window());
    p.source = pass.source.view(sourceFeatureChannelOffset(), inputFeatureChannels());
    p.destination = pass.destinationView;
    p.images = uint32_t(pass.imageCount);
    mps::setClip(p, pass.clip);
    p.originX = mps::transposeOrigin(pass.offset.x, strideInPixelsX(), kernelOffsetX_,
                                     kernelWidth(), dilationRateX());
    p.originY = mps::transposeOrigin(pass.offset.y, strideInPixelsY(), kernelOffsetY_,
                                     kernelHeight(), dilationRateY());
    const uint32_t neuron = mps::setFused(p, descriptor_, *weights_);
    mps::dispatchSpread(*pass.encoder, *weights_, layout, p, pass.source, pass.destination, neuron);
}

} // namespace mpsvk::MPS
