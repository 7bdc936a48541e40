#include "mps/ConvolutionGradientPass.hpp"
#include "mps/ConvolutionPass.hpp"
#include "mps/Names.hpp"
#include "mps/PassChecks.hpp"

#include <mpsvk/Error.hpp>
#include <mpsvk/MPS/CNNConvolutionTranspose.hpp>

namespace mpsvk::MPS {

using Gradient = CNNConvolutionTransposeGradient;

Gradient::CNNConvolutionTransposeGradient(const MTL::Device& device, mps::ConvolutionSource source)
    : CNNConvolutionTransposeGradient(
          device, source, mps::descriptorOf("CNNConvolutionTransposeGradient", source)) {}

Gradient::CNNConvolutionTransposeGradient(const MTL::Device& device, mps::ConvolutionSource source,
                                          const CNNConvolutionDescriptor& descriptor)
    : CNNGradientKernel(device, "CNNConvolutionTransposeGradient", mps::windowOf(descriptor),
                        mps::windowOf(descriptor)),
      descriptor_(mps::checkedDescriptor("[CNNConvolutionTransposeGradient] ", descriptor)) {
    setLabel(source->label());
    mps::checkTrainable(subject(), descriptor_);
    weights_ = std::make_shared<mps::ConvolutionWeights>(
        device, std::move(source), descriptor_, mps::ConvolutionWeights::Use::TransposeDataGradient,
        false, subject());
}

Gradient::~CNNConvolutionTransposeGradient() = default;
Gradient::CNNConvolutionTransposeGradient(Gradient&&) noexcept = default;
Gradient& Gradient::operator=(Gradient&&) noexcept = default;

Gradient::CNNConvolutionTransposeGradient(const Gradient& other)
    : CNNGradientKernel(other), descriptor_(other.descriptor_),
      weights_(std::make_shared<mps::ConvolutionWeights>(*other.weights_)),
      gradientOption_(other.gradientOption_) {}

Gradient& Gradient::operator=(const Gradient& other) { return *this = Gradient(other); }

Gradient Gradient::copy(const MTL::Device& device) const {
    Gradient made = *this;
    made.setDevice(device);
    made.weights_->moveTo(made.device());
    return made;
}

mps::ConvolutionSource Gradient::dataSource() const { return weights_->source(); }
void Gradient::reloadWeightsAndBiasesFromDataSource() { weights_->loadFromSource(subject()); }

void Gradient::reloadWeightsAndBiases(const MTL::CommandBuffer& commandBuffer,
                                      const CNNConvolutionWeightsAndBiasesState& state) {
    mps::reloadWeights(*this, descriptor_, *weights_, commandBuffer, state);
}

void Gradient::takeForwardRecord(const mps::ForwardRecord& r) {
    CNNGradientKernel::takeForwardRecord(r);
    setKernelOffsetX(r.kernelOffsetX);
    setKernelOffsetY(r.kernelOffsetY);
    setPrimaryStrideInPixelsX(r.window.strideX);
    setPrimaryStrideInPixelsY(r.window.strideY);
    setSecondaryStrideInPixelsX(r.window.strideX);
    setSecondaryStrideInPixelsY(r.window.strideY);
}

bool Gradient::writesDestination() const {
    return gradientOption_ != CNNConvolutionGradientOption::GradientWithWeightsAndBias;
}

bool Gradient::sumsOverBatch() const {
    return gradientOption_ != CNNConvolutionGradientOption::GradientWithData;
}

void Gradient::validate(const mps::BinaryPass& pass) const {
    CNNGradientKernel::validate(pass);
    if (secondaryEdgeMode() != ImageEdgeMode::Zero)
        throw InvalidArgument(subject() + "secondaryEdgeMode is " +
                              mps::nameOf(secondaryEdgeMode()) +
                              " but must be Zero, as the edge mode of a "
                              "transposed convolution is.");
    if (primaryOffset().x != 0 || primaryOffset().y != 0)
        throw InvalidArgument(subject() + "primaryOffset is (" + std::to_string(primaryOffset().x) +
                              ", " + std::to_string(primaryOffset().y) +
                              ") but must be (0, 0): slice the gradient first.");
    mps::checkGradient(subject(), pass, descriptor_, sumsOverBatch());
    const Image& source = pass.secondaries[0];
    for (const KernelWindow& window : {primary().window, secondary().window}) {
        mps::checkWindow(className().c_str(), window);
        mps::checkSpreadReach(subject(), secondaryOffset(), {kernelOffsetX(), kernelOffsetY(), 0},
                              window, source.width(), source.height());
    }
}

void Gradient::dispatch(const mps::BinaryPass& pass) const {
    auto& layout = weights_->layout(*pass.encoder, false);
    auto p = mps::commonParameters(layout, primary().window);
    p.source =
        pass.primary.view(primarySourceFeatureChannelOffset(), sourceGradientFeatureChannels());
    p.destination = pass.destinationView;
    p.images = uint32_t(pass.imageCount);
    mps::setClip(p, pass.clip);
    p.originX = mps::transposeOrigin(secondaryOffset().x, primaryStrideInPixelsX(), kernelOffsetX(),
                                     primaryKernelWidth(), primaryDilationRateX());
    p.originY = mps::transposeOrigin(secondaryOffset().y, primaryStrideInPixelsY(), kernelOffsetY(),
                                     primaryKernelHeight(), primaryDilationRateY());
    mps::dispatchGather(*pass.encoder, *weights_, layout, p, pass.primary, pass.destination, 0);
}

void Gradient::dispatchSums(const mps::BinaryPass& pass) const {
    glsl::CNNConvolutionWeightsParameters p{};
    p.gradient =
        pass.primary.view(primarySourceFeatureChannelOffset(), sourceGradientFeatureChannels());
    p.source =
        pass.secondary.view(secondarySourceFeatureChannelOffset(), sourceImageFeatureChannels());
    p.images = uint32_t(pass.imageCount);
    p.strideX = int(secondaryStrideInPixelsX());
    p.strideY = int(secondaryStrideInPixelsY());
    p.dilationX = int(secondaryDilationRateX());
    p.dilationY = int(secondaryDilationRateY());
    p.originX =
        mps::transposeOrigin(secondaryOffset().x, secondaryStrideInPixelsX(), kernelOffsetX(),
                             secondaryKernelWidth(), secondaryDilationRateX());
    p.originY =
        mps::transposeOrigin(secondaryOffset().y, secondaryStrideInPixelsY(), kernelOffsetY(),
                             secondaryKernelHeight(), secondaryDilationRateY());
    mps::dispatchTransposeWeightsGradient(
        *pass.encoder, mps::ConvolutionShape(descriptor_, false), p, pass.primary, pass.secondary,
        pass.sourceStates[0].as<CNNConvolutionGradientState>().impl());
}

} // namespace mpsvk::MPS
