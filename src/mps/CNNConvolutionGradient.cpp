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
    if (descriptor_.fusedNeuronDescriptor().neuronType() != CNNNeuronType::None ||
        descriptor_.batchNormalizationForInference())
        throw InvalidArgument(
            who + "The descriptor fuses a neuron or a batch normalization, which a convolution's "
                  "gradient does not differentiate; use kernels of their own for training.");
    if (descriptor_.subPixelScaleFactor() != 1)
        throw InvalidArgument(who + "The descriptor's subPixelScaleFactor is " +
                              std::to_string(descriptor_.subPixelScaleFactor()) +
                              " but gradients exist only for 1.");
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
      gradientOption_(other.gradientOption_) {}

CNNConvolutionGradient& CNNConvolutionGradient::operator=(const CNNConvolutionGradient& other) {
    return *this = CNNConvolutionGradient(other);
}

CNNConvolutionGradient CNNConvolutionGradient::copy(const MTL::Device& device) const {
    CNNConvolutionGradient made(device ? device : this->device(),
                                mps::sourceFor(dataSource(), device));
    static_cast<CNNGradientKernel&>(made) = *this;
    made.setDevice(device);
    made.gradientOption_ = gradientOption_;
    return made;
}

mps::ConvolutionSource CNNConvolutionGradient::dataSource() const { return weights_->source(); }
void CNNConvolutionGradient::reloadWeightsAndBiasesFromDataSource() {
    weights_->loadFromSource(subject());
}

void CNNConvolutionGradient::reloadWeightsAndBiases(
    const MTL::CommandBuffer& commandBuffer, const CNNConvolutionWeightsAndBiasesState& state) {
    mps::reloadWeights(subject(), descriptor_, *weights_, commandBuffer, state);
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
    mps::checkEdgeMode(subject(), "secondaryEdgeMode", secondaryEdgeMode());
    const auto checkChannels = [&](const char* role, uint64_t offered, uint64_t needed) {
        if (offered < needed)
            throw InvalidArgument(subject() + role + " offers " + std::to_string(offered) +
                                  " feature channels but the gradient reads " +
                                  std::to_string(needed) + ".");
    };
    checkChannels("sourceGradient", pass.primaryChannels, sourceGradientFeatureChannels());
    if (gradientOption_ == CNNConvolutionGradientOption::GradientWithData) return;
    checkChannels("sourceImage", pass.secondaryChannels, sourceImageFeatureChannels());
    if (pass.sourceStates.empty())
        throw InvalidArgument(
            subject() + "The gradient of weights and biases needs a gradient state to go to.");
    if (primaryOffset().x != 0 || primaryOffset().y != 0)
        throw InvalidArgument(
            subject() + "primaryOffset is (" + std::to_string(primaryOffset().x) + ", " +
            std::to_string(primaryOffset().y) +
            ") but the gradient of weights needs (0, 0): slice the gradient first.");
    for (const State& state : pass.sourceStates) {
        const auto gradient = state.as<CNNConvolutionGradientState>();
        if (!gradient)
            throw InvalidArgument(subject() +
                                  "gradientState is no gradient state of a convolution.");
        const auto& clip = gradient.impl().record.clip;
        const Image& e = pass.primaries[0];
        if (e.width() != clip.width || e.height() != clip.height)
            throw InvalidArgument(
                subject() + "sourceGradient is " + mps::sizeText(e.width(), e.height()) +
                " but the forward pass wrote " + mps::sizeText(clip.width, clip.height) + ".");
        if (gradient.impl().resources[0].bufferBytes != descriptor_.weightCount() * sizeof(float))
            throw InvalidArgument(
                subject() + "gradientState is of a convolution with " +
                std::to_string(gradient.impl().resources[0].bufferBytes / sizeof(float)) +
                " weights but this one has " + std::to_string(descriptor_.weightCount()) + ".");
    }
}

bool CNNConvolutionGradient::sumsOverBatch() const {
    return gradientOption_ != CNNConvolutionGradientOption::GradientWithData;
}

void CNNConvolutionGradient::dispatch(const mps::BinaryPass& pass) const {
    const bool flat = mps::canBeFlat(pass.destination, destinationFeatureChannelOffset(),
                                     sourceImageFeatureChannels()) &&
                      pass.clip.width == pass.destination.width() &&
                      pass.clip.height == pass.destination.height();
    const auto& layout = weights_->layout(*pass.encoder, flat);
    auto p = mps::commonParameters(layout, primary().window);
    p.source =
        pass.primary.view(primarySourceFeatureChannelOffset(), sourceGradientFeatureChannels());
    p.images = uint32_t(pass.imageCount);
    const bool clamp = secondaryEdgeMode() == ImageEdgeMode::Clamp && !layout.shape.flat;
    p.clampEdges = clamp;
    if (layout.shape.flat) {
        p.destination = mps::flatView(pass.destination, layout.shape.inputs);
        p.clipWidth = p.clipHeight = 1;
    } else {
        p.destination = pass.destinationView;
        p.clipX = uint32_t(pass.clip.x);
        p.clipY = uint32_t(pass.clip.y);
        p.clipWidth = uint32_t(pass.clip.width);
        p.clipHeight = uint32_t(pass.clip.height);
        const auto origin = [](int64_t offset, uint64_t stride, int64_t kernelOffset, uint64_t taps,
                               uint64_t dilation) {
            const int extent = glsl::dilatedExtent(int(taps), int(dilation));
            return glsl::windowStart(
                glsl::forwardOffset(int(offset), int(stride), int(kernelOffset), extent), extent);
        };
        p.originX = origin(primaryOffset().x, primaryStrideInPixelsX(), kernelOffsetX(),
                           primaryKernelWidth(), primaryDilationRateX());
        p.originY = origin(primaryOffset().y, primaryStrideInPixelsY(), kernelOffsetY(),
                           primaryKernelHeight(), primaryDilationRateY());
    }
    if (layout.shape.depthwise) {
        pass.encoder->dispatch("CNNConvolutionDepthwiseGradientData", p,
                               mps::Grid::of(pass.clip.width * pass.clip.height *
                                             layout.resultSlices * pass.imageCount),
                               {{1, pass.primary}, {2, pass.destination}, {3, layout.packed}});
        return;
    }
    const auto phase = [&](uint64_t size, int stride) {
        return clamp ? size : (size + uint64_t(stride) - 1) / uint64_t(stride);
    };
    const uint32_t phases = clamp ? 1 : uint32_t(p.strideX * p.strideY);
    mps::dispatchProduct(*pass.encoder, "CNNConvolutionGradientData", layout, p,
                         phase(p.clipWidth, p.strideX) * phase(p.clipHeight, p.strideY) *
                             pass.imageCount,
                         phases, pass.primary, pass.destination, 0, clamp);
}

void CNNConvolutionGradient::dispatchSums(const mps::BinaryPass& pass) const {
    auto& state = pass.sourceStates[0].as<CNNConvolutionGradientState>().impl();
    const bool flat = className() == "CNNFullyConnectedGradient" &&
                      sourceImageFeatureChannels() % 4 == 0 &&
                      mps::canBeFlat(pass.secondary, secondarySourceFeatureChannelOffset(),
                                     sourceImageFeatureChannels());
    const mps::ConvolutionShape shape(descriptor_, flat);
    const auto& device = pass.encoder->device();
    const bool cpu = device.properties().deviceType == VK_PHYSICAL_DEVICE_TYPE_CPU;
    mps::ConvolutionTile tile =
        mps::chooseTile(device, shape.groups, shape.outputsPerGroup(), shape.outputs, false);
    if (tile.tiled) { // its tiles are other than the forward kernel's: see
                      // CNNConvolutionGradientWeights.glsl
        tile.tiled = shape.groups == 1 || shape.outputsPerGroup() % 8 == 0;
        tile.texels = !tile.tiled                                              ? 1
                      : shape.groups == 1 || shape.outputsPerGroup() % 64 == 0 ? 16
                                                                               : 2;
        if (tile.texels == 16 && shape.outputs <= 32) tile.texels = 8;
        tile.lanes = tile.texels <= 2 ? 32 : 128;
    }
    glsl::CNNConvolutionWeightsParameters p{};
    p.gradient =
        pass.primary.view(primarySourceFeatureChannelOffset(), sourceGradientFeatureChannels());
    p.source = flat ? mps::flatView(pass.secondary, shape.inputs)
                    : pass.secondary.view(secondarySourceFeatureChannelOffset(),
                                          sourceImageFeatureChannels());
    p.images = uint32_t(pass.imageCount);
    p.kernelWidth = shape.kernelWidth;
    p.kernelHeight = shape.kernelHeight;
    p.strideX = int(secondaryStrideInPixelsX());
    p.strideY = int(secondaryStrideInPixelsY());
    p.dilationX = int(secondaryDilationRateX());
    p.dilationY = int(secondaryDilationRateY());
    p.originX = flat ? 0 : int(secondaryOffset().x);
    p.originY = flat ? 0 : int(secondaryOffset().y);
    p.clampEdges = secondaryEdgeMode() == ImageEdgeMode::Clamp;
    p.outputChannels = shape.outputs;
    p.resultPerGroup = shape.outputsPerGroup();
    p.reducedPerGroup = shape.inputsPerGroup();
    p.multiplier = shape.depthwise ? shape.outputs / shape.inputs : 1;
    p.tileChannels = 4 * tile.texels;
    p.tiles = (shape.outputs + p.tileChannels - 1) / p.tileChannels;
    p.accumulate = state.accumulated;
    const uint64_t taps = uint64_t(shape.kernelWidth) * shape.kernelHeight;
    const uint64_t pixels = uint64_t(p.gradient.width) * p.gradient.height * pass.imageCount;
    const auto ceil = [](uint64_t a, uint64_t b) { return (a + b - 1) / b; };
    // Parts of the pixels: enough workgroups for the device, each with enough to do.
    const auto split = [&](uint64_t groups, uint64_t target, uint64_t least, uint64_t multiple) {
        uint64_t parts = std::max<uint64_t>(
            1, std::min(target / std::max<uint64_t>(1, groups), ceil(pixels, least)));
        if (cpu && !shape.depthwise) parts = std::max(parts, ceil(pixels, 8192));
        p.splitPixels = uint32_t(ceil(ceil(pixels, parts), multiple) * multiple);
        p.splits = uint32_t(ceil(pixels, p.splitPixels));
    };
    const auto& weights = state.buffer(CNNConvolutionGradientState::Impl::Weights);
    const auto& biases = state.buffer(CNNConvolutionGradientState::Impl::Biases);
    std::shared_ptr<const vk::BufferSlice> partials;
    if (shape.depthwise) {
        const uint64_t columns = (taps + 1) * ceil(shape.outputs, 4), groups = ceil(columns, 64);
        split(groups, cpu ? 8 : 2112, 16, 1);
        partials = pass.encoder->scratch(columns * p.splits * 16);
        pass.encoder->dispatch("CNNConvolutionDepthwiseGradientWeights", p, {columns, 1, p.splits},
                               {{1, pass.primary}, {2, pass.secondary}, {3, *partials}});
        pass.encoder->dispatch("CNNConvolutionDepthwiseGradientReduce", p, mps::Grid::of(columns),
                               {{1, *partials}, {2, weights}, {3, biases}});
    } else {
        p.tileSlices = mps::tileSlices(p.tiles, p.tileChannels, shape.outputs, p.resultPerGroup,
                                       p.reducedPerGroup);
        const uint64_t columns = taps * p.tileSlices + 1;
        const uint64_t across =
            ceil(columns, tile.tiled ? 4 * tile.lanes / tile.texels : tile.lanes);
        split(across * p.tiles, cpu ? 16 : 396, 64, tile.tiled ? 16 : 4);
        partials = pass.encoder->scratch(columns * p.tiles * p.tileChannels * p.splits * 16);
        pass.encoder->dispatch(tile.subgroup ? "CNNConvolutionGradientWeightsSubgroup"
                                             : "CNNConvolutionGradientWeights",
                               p, {across * tile.lanes, 1, uint64_t(p.tiles) * p.splits},
                               {{1, pass.primary}, {2, pass.secondary}, {3, *partials}},
                               {mps::constant(32, tile.lanes), mps::constant(33, tile.texels),
                                mps::constant(36, uint32_t(tile.tiled))});
        pass.encoder->dispatch("CNNConvolutionGradientReduce", p,
                               mps::Grid::of(columns * shape.outputs),
                               {{1, *partials}, {2, weights}, {3, biases}});
    }
    state.accumulated = true;
}

CNNFullyConnectedGradient::CNNFullyConnectedGradient(const MTL::Device& device,
                                                     mps::ConvolutionSource source)
    : CNNConvolutionGradient(device, source, mps::descriptorOf("CNNFullyConnectedGradient", source),
                             "CNNFullyConnectedGradient") {}

CNNFullyConnectedGradient CNNFullyConnectedGradient::copy(const MTL::Device& device) const {
    CNNFullyConnectedGradient made(device ? device : this->device(),
                                   mps::sourceFor(dataSource(), device));
    static_cast<CNNGradientKernel&>(made) = *this;
    made.setDevice(device);
    made.setGradientOption(gradientOption());
    return made;
}

} // namespace mpsvk::MPS
