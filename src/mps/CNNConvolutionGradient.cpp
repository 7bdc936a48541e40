#include "mps/ConvolutionGradientPass.hpp"
#include "mps/ConvolutionPass.hpp"
#include "mps/PassChecks.hpp"

#include <mpsvk/Error.hpp>
#include <mpsvk/MPS/CNNConvolution.hpp>

namespace mpsvk::MPS {

CNNConvolutionGradient::CNNConvolutionGradient(const MTL::Device& device,
                                               mps::ConvolutionSource source)
    : CNNConvolutionGradient(device, source, mps::descriptorOf("CNNConvolutionGradient", source),
                             "CNNConvolutionGradient") {}

CNNConvolutionGradient::CNNConvolutionGradient(const MTL::Device& device,
                                               mps::ConvolutionSource source,
                                               const CNNConvolutionDescriptor& descriptor,
                                               const char* className)
    : CNNGradientKernel(device, className, mps::windowOf(descriptor), mps::windowOf(descriptor)),
      descriptor_(mps::checkedDescriptor("[" + std::string(className) + "] ", descriptor)) {
    setLabel(source->label());
    const std::string who = MTL::subject(className, label());
    mps::checkTrainable(who, descriptor_);
    const bool flat = std::string_view(className) == "CNNFullyConnectedGradient" &&
                      mps::hasWholeTexels(descriptor_);
    weights_ = std::make_shared<mps::ConvolutionWeights>(device, std::move(source), descriptor_,
                                                         mps::ConvolutionWeights::Use::DataGradient,
                                                         flat, who);
}

CNNConvolutionGradient::~CNNConvolutionGradient() = default;
CNNConvolutionGradient::CNNConvolutionGradient(CNNConvolutionGradient&&) noexcept = default;
CNNConvolutionGradient&
CNNConvolutionGradient::operator=(CNNConvolutionGradient&&) noexcept = default;

CNNConvolutionGradient::CNNConvolutionGradient(const CNNConvolutionGradient& other)
    : CNNGradientKernel(other), descriptor_(other.descriptor_),
      weights_(std::make_shared<mps::ConvolutionWeights>(*other.weights_)),
      gradientOption_(other.gradientOption_),
      serializeWeightsAndBiases_(other.serializeWeightsAndBiases_) {}

CNNConvolutionGradient& CNNConvolutionGradient::operator=(const CNNConvolutionGradient& other) {
    return *this = CNNConvolutionGradient(other);
}

CNNConvolutionGradient CNNConvolutionGradient::copy(const MTL::Device& device) const {
    CNNConvolutionGradient made = *this;
    made.moveTo(device);
    return made;
}

void CNNConvolutionGradient::moveTo(const MTL::Device& device) {
    setDevice(device);
    weights_->moveTo(this->device());
}

mps::ConvolutionSource CNNConvolutionGradient::dataSource() const { return weights_->source(); }
void CNNConvolutionGradient::reloadWeightsAndBiasesFromDataSource() {
    weights_->loadFromSource(subject());
}

void CNNConvolutionGradient::reloadWeightsAndBiases(
    const MTL::CommandBuffer& commandBuffer, const CNNConvolutionWeightsAndBiasesState& state) {
    mps::reloadWeights(*this, descriptor_, *weights_, commandBuffer, state);
}

void CNNConvolutionGradient::takeForwardRecord(const mps::ForwardRecord& r) {
    CNNGradientKernel::takeForwardRecord(r);
    const int extentX = glsl::dilatedExtent(int(r.window.width), int(r.window.dilationX));
    const int extentY = glsl::dilatedExtent(int(r.window.height), int(r.window.dilationY));
    setKernelOffsetX(glsl::gradientKernelOffset(int(r.offset.x), extentX));
    setKernelOffsetY(glsl::gradientKernelOffset(int(r.offset.y), extentY));
    setSecondaryOffset({glsl::gradientSecondaryOffset(int(r.offset.x), extentX),
                        glsl::gradientSecondaryOffset(int(r.offset.y), extentY), r.offset.z});
    setPrimaryStrideInPixelsX(r.window.strideX);
    setPrimaryStrideInPixelsY(r.window.strideY);
    setSecondaryStrideInPixelsX(r.window.strideX);
    setSecondaryStrideInPixelsY(r.window.strideY);
}

uint64_t CNNConvolutionGradient::outputChannels(uint64_t, uint64_t) const {
    return sourceImageFeatureChannels();
}

bool CNNConvolutionGradient::writesDestination() const {
    return gradientOption_ != CNNConvolutionGradientOption::GradientWithWeightsAndBias;
}

void CNNConvolutionGradient::validate(const mps::BinaryPass& pass) const {
    CNNGradientKernel::validate(pass);
    mps::checkGradient(subject(), pass, descriptor_, sumsOverBatch());
    mps::checkWindow(className().c_str(), primary().window);
    mps::checkWindow(className().c_str(), secondary().window);
    if (!isFullyConnected()) {
        const Image& e = pass.primaries[0];
        mps::checkSpreadReach(subject(), primaryOffset(), {kernelOffsetX(), kernelOffsetY(), 0},
                              primary().window, e.width(), e.height());
        mps::checkWindowReach(subject(), secondaryOffset(), secondary().window, e.width(),
                              e.height());
    }
    if (sumsOverBatch() && (primaryOffset().x != 0 || primaryOffset().y != 0))
        throw InvalidArgument(
            subject() + "primaryOffset is (" + std::to_string(primaryOffset().x) + ", " +
            std::to_string(primaryOffset().y) +
            ") but the gradient of weights needs (0, 0): slice the gradient first.");
}

bool CNNConvolutionGradient::sumsOverBatch() const {
    return gradientOption_ != CNNConvolutionGradientOption::GradientWithData;
}

void CNNConvolutionGradient::dispatch(const mps::BinaryPass& pass) const {
    const bool flat = mps::canBeFlat(pass.destination, destinationFeatureChannelOffset(),
                                     sourceImageFeatureChannels()) &&
                      pass.destination.width() == primaryKernelWidth() &&
                      pass.destination.height() == primaryKernelHeight() &&
                      pass.clip.width == pass.destination.width() &&
                      pass.clip.height == pass.destination.height();
    auto& layout = weights_->layout(*pass.encoder, flat);
    auto p = mps::commonParameters(layout, primary().window);
    p.source =
        pass.primary.view(primarySourceFeatureChannelOffset(), sourceGradientFeatureChannels());
    p.images = uint32_t(pass.imageCount);
    p.clampEdges = secondaryEdgeMode() == ImageEdgeMode::Clamp && !layout.shape.flat;
    p.edgeWidth = uint32_t(pass.secondaries[0].width());
    p.edgeHeight = uint32_t(pass.secondaries[0].height());
    if (layout.shape.flat) {
        p.destination = mps::flatView(pass.destination, layout.shape.inputs);
        p.clipWidth = p.clipHeight = 1;
    } else {
        p.destination = pass.destinationView;
        mps::setClip(p, pass.clip);
        const auto origin = [this](int64_t offset, uint64_t stride, int64_t kernelOffset,
                                   uint64_t taps, uint64_t dilation) {
            if (isFullyConnected()) return 0;
            const int extent = glsl::dilatedExtent(int(taps), int(dilation));
            return glsl::windowStart(
                glsl::forwardOffset(int(offset), int(stride), int(kernelOffset), extent), extent);
        };
        p.originX = origin(primaryOffset().x, primaryStrideInPixelsX(), kernelOffsetX(),
                           primaryKernelWidth(), primaryDilationRateX());
        p.originY = origin(primaryOffset().y, primaryStrideInPixelsY(), kernelOffsetY(),
                           primaryKernelHeight(), primaryDilationRateY());
    }
    mps::dispatchSpread(*pass.encoder, *weights_, layout, p, pass.primary, pass.destination, 0);
}

void CNNConvolutionGradient::dispatchSums(const mps::BinaryPass& pass) const {
    const bool flat = isFullyConnected() && sourceImageFeatureChannels() % 4 == 0 &&
                      mps::canBeFlat(pass.secondary, secondarySourceFeatureChannelOffset(),
                                     sourceImageFeatureChannels());
    const mps::ConvolutionShape shape(descriptor_, flat);
    glsl::CNNConvolutionWeightsParameters p{};
    p.gradient =
        pass.primary.view(primarySourceFeatureChannelOffset(), sourceGradientFeatureChannels());
    p.source = flat ? mps::flatView(pass.secondary, shape.inputs)
                    : pass.secondary.view(secondarySourceFeatureChannelOffset(),
                                          sourceImageFeatureChannels());
    p.images = uint32_t(pass.imageCount);
    p.strideX = int(secondaryStrideInPixelsX());
    p.strideY = int(secondaryStrideInPixelsY());
    p.dilationX = int(secondaryDilationRateX());
    p.dilationY = int(secondaryDilationRateY());
    p.originX = isFullyConnected() ? 0 : int(secondaryOffset().x);
    p.originY = isFullyConnected() ? 0 : int(secondaryOffset().y);
    p.clampEdges = secondaryEdgeMode() == ImageEdgeMode::Clamp;
    mps::dispatchWeightsGradient(*pass.encoder, shape, p, pass.primary, pass.secondary,
                                 pass.sourceStates[0].as<CNNConvolutionGradientState>().impl());
}

CNNFullyConnectedGradient::CNNFullyConnectedGradient(const MTL::Device& device,
                                                     mps::ConvolutionSource source)
    : CNNConvolutionGradient(device, source, mps::descriptorOf("CNNFullyConnectedGradient", source),
                             "CNNFullyConnectedGradient") {}

void CNNFullyConnectedGradient::validate(const mps::BinaryPass& pass) const {
    CNNConvolutionGradient::validate(pass);
    const Image& e = pass.primaries[0];
    const Image& source = pass.secondaries[0];
    if (e.width() != 1 || e.height() != 1)
        throw InvalidArgument(subject() + "sourceGradient is " +
                              mps::sizeText(e.width(), e.height()) +
                              " but the result of a fully connected kernel is 1x1.");
    if (sumsOverBatch() &&
        (source.width() != primaryKernelWidth() || source.height() != primaryKernelHeight()))
        throw InvalidArgument(subject() + "sourceImage is " +
                              mps::sizeText(source.width(), source.height()) +
                              " but a fully connected kernel of " +
                              mps::sizeText(primaryKernelWidth(), primaryKernelHeight()) +
                              " takes a source of its own size.");
}

CNNFullyConnectedGradient CNNFullyConnectedGradient::copy(const MTL::Device& device) const {
    CNNFullyConnectedGradient made = *this;
    made.moveTo(device);
    return made;
}

} // namespace mpsvk::MPS
