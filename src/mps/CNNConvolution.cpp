#include "mps/ConvolutionWeights.hpp"
#include "mps/PassChecks.hpp"

#include <mpsvk/Error.hpp>
#include <mpsvk/MPS/CNNConvolution.hpp>

namespace mpsvk::MPS {

namespace {

using mps::ConvolutionWeights;
using DataSource = std::shared_ptr<CNNConvolutionDataSource>;

CNNConvolutionDescriptor descriptorOf(const char* className, const DataSource& source) {
    const std::string who = "[" + std::string(className) + "] ";
    if (!source) throw InvalidArgument(who + "The data source is null.");
    if (!source->load()) throw InvalidArgument(who + "The data source's load returned false.");
    CNNConvolutionDescriptor d = source->descriptor();
    source->purge();
    return d;
}

const CNNConvolutionDescriptor& checked(const std::string& who, const CNNConvolutionDescriptor& d) {
    const uint64_t inputs = d.inputFeatureChannels(), outputs = d.outputFeatureChannels(), groups = d.groups();
    if (d.channelMultiplier() == 0 && (groups == 0 || inputs % groups != 0 || outputs % groups != 0))
        throw InvalidArgument(who + "groups is " + std::to_string(groups) + " but must divide " +
                              std::to_string(inputs) + " input and " + std::to_string(outputs) +
                              " output feature channels.");
    if (d.channelMultiplier() != 0 && (groups != 1 || outputs % inputs != 0))
        throw InvalidArgument(who + "A depthwise convolution has 1 group and a multiple of its input channels as "
                              "outputs, but there are " + std::to_string(groups) + " groups, " + std::to_string(inputs) +
                              " inputs and " + std::to_string(outputs) + " outputs.");
    if (d.strideInPixelsX() == 0 || d.strideInPixelsY() == 0 || d.dilationRateX() == 0 || d.dilationRateY() == 0)
        throw InvalidArgument(who + "The stride is " + mps::sizeText(d.strideInPixelsX(), d.strideInPixelsY()) +
                              " and the dilation " + mps::sizeText(d.dilationRateX(), d.dilationRateY()) +
                              ", but each must be at least 1.");
    const uint64_t blocks = d.subPixelScaleFactor() * d.subPixelScaleFactor();
    if (blocks == 0 || outputs % blocks != 0 || (groups > 1 && outputs / blocks % 4 != 0 && blocks > 1))
        throw InvalidArgument(who + "subPixelScaleFactor is " + std::to_string(d.subPixelScaleFactor()) +
                              " but its square must divide the " + std::to_string(outputs) + " output feature channels.");
    return d;
}

KernelWindow windowOf(const CNNConvolutionDescriptor& d) {
    return {d.kernelWidth(),     d.kernelHeight(),  d.strideInPixelsX(),
            d.strideInPixelsY(), d.dilationRateX(), d.dilationRateY()};
}

bool isFlat(const char* className, const CNNConvolutionDescriptor& d) {
    return std::string_view(className) == "CNNFullyConnected" && d.inputFeatureChannels() % 4 == 0;
}

void checkState(const std::string& who, const CNNConvolutionDescriptor& d,
                const CNNConvolutionWeightsAndBiasesState& state, const MTL::CommandBuffer& commands) {
    if (!state) throw InvalidArgument(who + "The weights state is an empty handle.");
    auto& impl = state.impl();
    impl.checkUsable(who, "The weights state", commands);
    if (impl.weightsBytes < d.weightCount() * sizeof(float) ||
        (impl.hasBiases && impl.biasesBytes < d.outputFeatureChannels() * sizeof(float)))
        throw InvalidArgument(who + "The weights state holds " + std::to_string(impl.weightsBytes) + " bytes of weights and " +
                              std::to_string(impl.biasesBytes) + " of biases but the kernel has " +
                              std::to_string(d.weightCount() * sizeof(float)) + " and " +
                              std::to_string(d.outputFeatureChannels() * sizeof(float)) + ".");
}

void reload(const std::string& who, const CNNConvolutionDescriptor& d, ConvolutionWeights& weights,
            const MTL::CommandBuffer& commands, const CNNConvolutionWeightsAndBiasesState& state) {
    checkState(who, d, state, commands);
    mps::Encoder encoder(commands, who);
    weights.load(encoder, state.impl().weightsSlice(), state.impl().biasesSlice());
    state.impl().wasRead();
}

/// The source's copy for another device, or the source itself.
DataSource sourceFor(const DataSource& source, const MTL::Device& device) {
    auto copy = source->copy(device);
    return copy ? copy : source;
}

} // namespace

CNNConvolution::CNNConvolution(const MTL::Device& device, DataSource source)
    : CNNConvolution(device, source, descriptorOf("CNNConvolution", source), "CNNConvolution") {}

CNNConvolution::CNNConvolution(const MTL::Device& device, DataSource source, const CNNConvolutionDescriptor& descriptor,
                               const char* className)
    : CNNKernel(device, className, windowOf(descriptor)),
      descriptor_(checked("[" + std::string(className) + "] ", descriptor)) {
    setLabel(source->label());
    weights_ = std::make_shared<ConvolutionWeights>(device, std::move(source), descriptor_, ConvolutionWeights::Use::Forward,
                                                    isFlat(className, descriptor_),
                                                    MTL::subject(className, label()));
}

CNNConvolution::~CNNConvolution() = default;
CNNConvolution::CNNConvolution(CNNConvolution&&) noexcept = default;
CNNConvolution& CNNConvolution::operator=(CNNConvolution&&) noexcept = default;

CNNConvolution::CNNConvolution(const CNNConvolution& other)
    : CNNKernel(other), descriptor_(other.descriptor_),
      weights_(std::make_shared<ConvolutionWeights>(*other.weights_)), precision_(other.precision_) {}

CNNConvolution& CNNConvolution::operator=(const CNNConvolution& other) {
    return *this = CNNConvolution(other);
}

CNNConvolution CNNConvolution::copy(const MTL::Device& device) const {
    CNNConvolution made(device ? device : this->device(), sourceFor(dataSource(), device));
    static_cast<CNNKernel&>(made) = *this;
    made.setDevice(device);
    return made;
}

DataSource CNNConvolution::dataSource() const { return weights_->source(); }
void CNNConvolution::reloadWeightsAndBiasesFromDataSource() { weights_->loadFromSource(subject()); }

void CNNConvolution::reloadWeightsAndBiases(const MTL::CommandBuffer& commandBuffer,
                                            const CNNConvolutionWeightsAndBiasesState& state) {
    reload(subject(), descriptor_, *weights_, commandBuffer, state);
}

CNNConvolutionWeightsAndBiasesState CNNConvolution::exportWeightsAndBiases(const MTL::CommandBuffer& commandBuffer,
                                                                           bool canBeTemporary) const {
    using State = CNNConvolutionWeightsAndBiasesState;
    const State state = canBeTemporary ? State::temporaryCNNConvolutionWeightsAndBiasesState(commandBuffer, descriptor_)
                                       : State(device(), descriptor_);
    mps::Encoder encoder(commandBuffer, subject());
    weights_->unpack(encoder, state.impl().weightsSlice(), state.impl().biasesSlice());
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
        throw InvalidArgument(subject() + "A gradient state was asked of a sub-pixel convolution, which has no gradient.");
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
    : CNNKernel(other), descriptor_(other.descriptor_), weights_(other.weights_), precision_(other.precision_) {}

void CNNConvolution::validate(const mps::UnaryPass& pass) const {
    mps::checkEdgeMode(subject(), "edgeMode", pass.edgeMode);
    if (pass.sourceChannels < inputFeatureChannels())
        throw InvalidArgument(subject() + "sourceImage offers " + std::to_string(pass.sourceChannels) +
                              " feature channels from channel " + std::to_string(sourceFeatureChannelOffset()) +
                              " on but the convolution reads " + std::to_string(inputFeatureChannels()) + ".");
    for (const State& state : pass.states)
        if (!state.as<CNNConvolutionGradientState>())
            throw InvalidArgument(subject() + "destinationState is no gradient state of a convolution.");
}

namespace {

uint32_t neuronConstant(const CNNConvolutionDescriptor& d) { return uint32_t(d.fusedNeuronDescriptor().neuronType()); }

/// What the forward and the data-gradient shaders share.
glsl::CNNConvolutionParameters commonParameters(const ConvolutionWeights::Layout& layout, const KernelWindow& w) {
    glsl::CNNConvolutionParameters p{};
    p.kernelWidth = layout.shape.kernelWidth;
    p.kernelHeight = layout.shape.kernelHeight;
    p.strideX = int(w.strideX);
    p.strideY = int(w.strideY);
    p.dilationX = int(w.dilationX);
    p.dilationY = int(w.dilationY);
    p.resultSlices = layout.resultSlices;
    p.tiles = layout.tiles;
    p.tileSlices = layout.tileSlices;
    p.resultPerGroup = layout.resultPerGroup;
    p.reducedPerGroup = layout.reducedPerGroup;
    p.multiplier = layout.shape.depthwise ? layout.shape.outputs / layout.shape.inputs : 1;
    p.subPixelScale = 1;
    return p;
}

/// One pixel whose channels are all elements of the image, for a run of whole images.
glsl::ImageView flatView(const mps::ImageRun& run, uint64_t channels) {
    glsl::ImageView v = run.view(0, channels);
    v.slices = v.slices * v.width * v.height;
    v.width = v.height = 1;
    return v;
}

bool canBeFlat(const mps::ImageRun& run, uint64_t channelOffset, uint64_t channels) {
    return !run.isTexture() && channelOffset == 0 && run.featureChannels() == channels && run.isDense();
}

void dispatchProduct(mps::Encoder& encoder, const std::string& shader, const ConvolutionWeights::Layout& layout,
                     const glsl::CNNConvolutionParameters& p, uint64_t rows, uint32_t phases,
                     const mps::ImageRun& source, const mps::ImageRun& destination, uint32_t neuron, bool clampEdges) {
    const auto& tile = layout.tile;
    const uint64_t blocks = (rows + tile.block(rows) - 1) / tile.block(rows);
    const uint64_t most = encoder.limits().workGroupCount, y = (blocks + most - 1) / most;
    const mps::Grid grid{(blocks + y - 1) / y * tile.lanes, y, uint64_t(layout.tiles) * phases};
    encoder.dispatch(tile.subgroup ? shader + "Subgroup" : shader, p, grid,
                     {{1, source}, {2, destination}, {3, layout.packed}, {4, layout.channels}},
                     {mps::constant(32, tile.lanes), mps::constant(33, tile.texels),
                      mps::constant(34, tile.pixels(rows)), mps::constant(35, neuron),
                      mps::constant(36, uint32_t(tile.tiled)), mps::constant(37, uint32_t(clampEdges))});
}

} // namespace

void CNNConvolution::dispatch(const mps::UnaryPass& pass) const {
    const bool fullyConnected = className() == "CNNFullyConnected";
    const bool flat = fullyConnected && canBeFlat(pass.source, sourceFeatureChannelOffset(), inputFeatureChannels());
    const auto& layout = weights_->layout(*pass.encoder, flat);
    auto p = commonParameters(layout, window());
    p.source = layout.shape.flat ? flatView(pass.source, layout.shape.inputs)
                                 : pass.source.view(sourceFeatureChannelOffset(), inputFeatureChannels());
    p.destination = pass.destinationView;
    p.images = uint32_t(pass.imageCount);
    p.clipX = uint32_t(pass.clip.x);
    p.clipY = uint32_t(pass.clip.y);
    p.clipWidth = fullyConnected ? 1 : uint32_t(pass.clip.width);
    p.clipHeight = fullyConnected ? 1 : uint32_t(pass.clip.height);
    if (!fullyConnected) {
        p.originX = glsl::windowStart(int(pass.offset.x), glsl::dilatedExtent(int(kernelWidth()), int(dilationRateX())));
        p.originY = glsl::windowStart(int(pass.offset.y), glsl::dilatedExtent(int(kernelHeight()), int(dilationRateY())));
    }
    p.clampEdges = pass.edgeMode == ImageEdgeMode::Clamp;
    p.subPixelScale = layout.shape.subPixelScale;
    p.hasBias = weights_->hasBias();
    p.neuronA = fusedNeuronDescriptor().a();
    p.neuronB = fusedNeuronDescriptor().b();
    p.neuronC = fusedNeuronDescriptor().c();
    const uint32_t neuron = neuronConstant(descriptor_);
    if (layout.shape.depthwise) {
        pass.encoder->dispatch("CNNConvolutionDepthwise", p,
                               mps::Grid::of(pass.clip.width * pass.clip.height * layout.resultSlices * pass.imageCount),
                               {{1, pass.source}, {2, pass.destination}, {3, layout.packed}, {4, layout.channels}},
                               {mps::constant(35, neuron)});
        return;
    }
    const auto windows = [&](uint64_t size) { return (size + p.subPixelScale - 1) / p.subPixelScale; };
    dispatchProduct(*pass.encoder, "CNNConvolution", layout, p,
                    windows(p.clipWidth) * windows(p.clipHeight) * pass.imageCount, 1, pass.source, pass.destination,
                    neuron, false);
}

CNNFullyConnected::CNNFullyConnected(const MTL::Device& device, DataSource source)
    : CNNConvolution(device, source, descriptorOf("CNNFullyConnected", source), "CNNFullyConnected") {
    setPadding(NNDefaultPadding::padding(NNPaddingMethod::SizeValidOnly));
}

CNNFullyConnected CNNFullyConnected::copy(const MTL::Device& device) const {
    CNNFullyConnected made(device ? device : this->device(), sourceFor(dataSource(), device));
    static_cast<CNNKernel&>(made) = *this;
    made.setDevice(device);
    return made;
}

void CNNFullyConnected::validate(const mps::UnaryPass& pass) const {
    CNNConvolution::validate(pass);
    const Image& source = pass.sources[0];
    if (source.width() != kernelWidth() || source.height() != kernelHeight() || strideInPixelsX() != 1 ||
        strideInPixelsY() != 1 || groups() != 1 || dilationRateX() != 1 || dilationRateY() != 1)
        throw InvalidArgument(subject() + "sourceImage is " + mps::sizeText(source.width(), source.height()) +
                              " but a fully connected kernel of " + mps::sizeText(kernelWidth(), kernelHeight()) +
                              " takes a source of its own size, with stride, dilation and groups 1.");
}

CNNConvolutionGradient::CNNConvolutionGradient(const MTL::Device& device, DataSource source)
    : CNNConvolutionGradient(device, source, descriptorOf("CNNConvolutionGradient", source), "CNNConvolutionGradient") {}

CNNConvolutionGradient::CNNConvolutionGradient(const MTL::Device& device, DataSource source,
                                               const CNNConvolutionDescriptor& descriptor, const char* className)
    : CNNGradientKernel(device, className, windowOf(descriptor), windowOf(descriptor)),
      descriptor_(checked("[" + std::string(className) + "] ", descriptor)) {
    setLabel(source->label());
    const std::string who = MTL::subject(className, label());
    if (descriptor_.fusedNeuronDescriptor().neuronType() != CNNNeuronType::None ||
        descriptor_.batchNormalizationForInference())
        throw InvalidArgument(who + "The descriptor fuses a neuron or a batch normalization, which a convolution's "
                                    "gradient does not differentiate; use kernels of their own for training.");
    if (descriptor_.subPixelScaleFactor() != 1)
        throw InvalidArgument(who + "The descriptor's subPixelScaleFactor is " +
                              std::to_string(descriptor_.subPixelScaleFactor()) + " but gradients exist only for 1.");
    const bool flat = std::string_view(className) == "CNNFullyConnectedGradient" && isFlat("CNNFullyConnected", descriptor_);
    weights_ = std::make_shared<ConvolutionWeights>(device, std::move(source), descriptor_,
                                                    ConvolutionWeights::Use::DataGradient, flat, who);
}

CNNConvolutionGradient::~CNNConvolutionGradient() = default;
CNNConvolutionGradient::CNNConvolutionGradient(CNNConvolutionGradient&&) noexcept = default;
CNNConvolutionGradient& CNNConvolutionGradient::operator=(CNNConvolutionGradient&&) noexcept = default;

CNNConvolutionGradient::CNNConvolutionGradient(const CNNConvolutionGradient& other)
    : CNNGradientKernel(other), descriptor_(other.descriptor_),
      weights_(std::make_shared<ConvolutionWeights>(*other.weights_)), gradientOption_(other.gradientOption_) {}

CNNConvolutionGradient& CNNConvolutionGradient::operator=(const CNNConvolutionGradient& other) {
    return *this = CNNConvolutionGradient(other);
}

CNNConvolutionGradient CNNConvolutionGradient::copy(const MTL::Device& device) const {
    CNNConvolutionGradient made(device ? device : this->device(), sourceFor(dataSource(), device));
    static_cast<CNNGradientKernel&>(made) = *this;
    made.setDevice(device);
    made.gradientOption_ = gradientOption_;
    return made;
}

DataSource CNNConvolutionGradient::dataSource() const { return weights_->source(); }
void CNNConvolutionGradient::reloadWeightsAndBiasesFromDataSource() { weights_->loadFromSource(subject()); }

void CNNConvolutionGradient::reloadWeightsAndBiases(const MTL::CommandBuffer& commandBuffer,
                                                    const CNNConvolutionWeightsAndBiasesState& state) {
    reload(subject(), descriptor_, *weights_, commandBuffer, state);
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

uint64_t CNNConvolutionGradient::outputChannels(uint64_t, uint64_t) const { return sourceImageFeatureChannels(); }

bool CNNConvolutionGradient::writesDestination() const {
    return gradientOption_ != CNNConvolutionGradientOption::GradientWithWeightsAndBias;
}

void CNNConvolutionGradient::validate(const mps::BinaryPass& pass) const {
    CNNGradientKernel::validate(pass);
    mps::checkEdgeMode(subject(), "secondaryEdgeMode", secondaryEdgeMode());
    const auto checkChannels = [&](const char* role, uint64_t offered, uint64_t needed) {
        if (offered < needed)
            throw InvalidArgument(subject() + role + " offers " + std::to_string(offered) +
                                  " feature channels but the gradient reads " + std::to_string(needed) + ".");
    };
    checkChannels("sourceGradient", pass.primaryChannels, sourceGradientFeatureChannels());
    if (gradientOption_ == CNNConvolutionGradientOption::GradientWithData) return;
    checkChannels("sourceImage", pass.secondaryChannels, sourceImageFeatureChannels());
    if (pass.sourceStates.empty())
        throw InvalidArgument(subject() + "The gradient of weights and biases needs a gradient state to go to.");
    if (primaryOffset().x != 0 || primaryOffset().y != 0)
        throw InvalidArgument(subject() + "primaryOffset is (" + std::to_string(primaryOffset().x) + ", " +
                              std::to_string(primaryOffset().y) +
                              ") but the gradient of weights needs (0, 0): slice the gradient first.");
    for (const State& state : pass.sourceStates) {
        const auto gradient = state.as<CNNConvolutionGradientState>();
        if (!gradient) throw InvalidArgument(subject() + "gradientState is no gradient state of a convolution.");
        const auto& clip = gradient.impl().record.clip;
        const Image& e = pass.primaries[0];
        if (e.width() != clip.width || e.height() != clip.height)
            throw InvalidArgument(subject() + "sourceGradient is " + mps::sizeText(e.width(), e.height()) +
                                  " but the forward pass wrote " + mps::sizeText(clip.width, clip.height) + ".");
        if (gradient.impl().resources[0].bufferBytes != descriptor_.weightCount() * sizeof(float))
            throw InvalidArgument(subject() + "gradientState is of a convolution with " +
                                  std::to_string(gradient.impl().resources[0].bufferBytes / sizeof(float)) +
                                  " weights but this one has " + std::to_string(descriptor_.weightCount()) + ".");
    }
}

void CNNConvolutionGradient::dispatch(const mps::BinaryPass& pass) const {
    if (gradientOption_ != CNNConvolutionGradientOption::GradientWithData) dispatchWeights(pass);
    if (gradientOption_ != CNNConvolutionGradientOption::GradientWithWeightsAndBias) dispatchData(pass);
}

void CNNConvolutionGradient::dispatchData(const mps::BinaryPass& pass) const {
    const bool flat = canBeFlat(pass.destination, destinationFeatureChannelOffset(), sourceImageFeatureChannels()) &&
                      pass.clip.width == pass.destination.width() && pass.clip.height == pass.destination.height();
    const auto& layout = weights_->layout(*pass.encoder, flat);
    auto p = commonParameters(layout, primary().window);
    p.source = pass.primary.view(primarySourceFeatureChannelOffset(), sourceGradientFeatureChannels());
    p.images = uint32_t(pass.imageCount);
    const bool clamp = secondaryEdgeMode() == ImageEdgeMode::Clamp && !layout.shape.flat;
    p.clampEdges = clamp;
    if (layout.shape.flat) {
        p.destination = flatView(pass.destination, layout.shape.inputs);
        p.clipWidth = p.clipHeight = 1;
    } else {
        p.destination = pass.destinationView;
        p.clipX = uint32_t(pass.clip.x);
        p.clipY = uint32_t(pass.clip.y);
        p.clipWidth = uint32_t(pass.clip.width);
        p.clipHeight = uint32_t(pass.clip.height);
        const auto origin = [](int64_t offset, uint64_t stride, int64_t kernelOffset, uint64_t taps, uint64_t dilation) {
            const int extent = glsl::dilatedExtent(int(taps), int(dilation));
            return glsl::windowStart(glsl::forwardOffset(int(offset), int(stride), int(kernelOffset), extent), extent);
        };
        p.originX = origin(primaryOffset().x, primaryStrideInPixelsX(), kernelOffsetX(), primaryKernelWidth(), primaryDilationRateX());
        p.originY = origin(primaryOffset().y, primaryStrideInPixelsY(), kernelOffsetY(), primaryKernelHeight(), primaryDilationRateY());
    }
    if (layout.shape.depthwise) {
        pass.encoder->dispatch("CNNConvolutionDepthwiseGradientData", p,
                               mps::Grid::of(pass.clip.width * pass.clip.height * layout.resultSlices * pass.imageCount),
                               {{1, pass.primary}, {2, pass.destination}, {3, layout.packed}});
        return;
    }
    const auto phase = [&](uint64_t size, int stride) { return clamp ? size : (size + uint64_t(stride) - 1) / uint64_t(stride); };
    const uint32_t phases = clamp ? 1 : uint32_t(p.strideX * p.strideY);
    dispatchProduct(*pass.encoder, "CNNConvolutionGradientData", layout, p,
                    phase(p.clipWidth, p.strideX) * phase(p.clipHeight, p.strideY) * pass.imageCount, phases,
                    pass.primary, pass.destination, 0, clamp);
}

void CNNConvolutionGradient::dispatchWeights(const mps::BinaryPass& pass) const {
    auto& state = pass.sourceStates[0].as<CNNConvolutionGradientState>().impl();
    const bool flat = className() == "CNNFullyConnectedGradient" && sourceImageFeatureChannels() % 4 == 0 &&
                      canBeFlat(pass.secondary, secondarySourceFeatureChannelOffset(), sourceImageFeatureChannels());
    const mps::ConvolutionShape shape(descriptor_, flat);
    const auto& device = pass.encoder->device();
    const bool cpu = device.properties().deviceType == VK_PHYSICAL_DEVICE_TYPE_CPU;
    mps::ConvolutionTile tile = mps::chooseTile(device, shape.groups, shape.outputsPerGroup(), shape.outputs, false);
    if (tile.tiled) { // its tiles are other than the forward kernel's: see CNNConvolutionGradientWeights.glsl
        tile.tiled = shape.groups == 1 || shape.outputsPerGroup() % 8 == 0;
        tile.texels = !tile.tiled ? 1 : shape.groups == 1 || shape.outputsPerGroup() % 64 == 0 ? 16 : 2;
        if (tile.texels == 16 && shape.outputs <= 32) tile.texels = 8;
        tile.lanes = tile.texels <= 2 ? 32 : 128;
    }
    glsl::CNNConvolutionWeightsParameters p{};
    p.gradient = pass.primary.view(primarySourceFeatureChannelOffset(), sourceGradientFeatureChannels());
    p.source = flat ? flatView(pass.secondary, shape.inputs)
                    : pass.secondary.view(secondarySourceFeatureChannelOffset(), sourceImageFeatureChannels());
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
        uint64_t parts = std::max<uint64_t>(1, std::min(target / std::max<uint64_t>(1, groups), ceil(pixels, least)));
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
        p.tileSlices = mps::tileSlices(p.tiles, p.tileChannels, shape.outputs, p.resultPerGroup, p.reducedPerGroup);
        const uint64_t columns = taps * p.tileSlices + 1;
        const uint64_t across = ceil(columns, tile.tiled ? 4 * tile.lanes / tile.texels : tile.lanes);
        split(across * p.tiles, cpu ? 16 : 396, 64, tile.tiled ? 16 : 4);
        partials = pass.encoder->scratch(columns * p.tiles * p.tileChannels * p.splits * 16);
        pass.encoder->dispatch(tile.subgroup ? "CNNConvolutionGradientWeightsSubgroup" : "CNNConvolutionGradientWeights",
                               p, {across * tile.lanes, 1, uint64_t(p.tiles) * p.splits},
                               {{1, pass.primary}, {2, pass.secondary}, {3, *partials}},
                               {mps::constant(32, tile.lanes), mps::constant(33, tile.texels),
                                mps::constant(36, uint32_t(tile.tiled))});
        pass.encoder->dispatch("CNNConvolutionGradientReduce", p, mps::Grid::of(columns * shape.outputs),
                               {{1, *partials}, {2, weights}, {3, biases}});
    }
    state.accumulated = true;
}

CNNFullyConnectedGradient::CNNFullyConnectedGradient(const MTL::Device& device, DataSource source)
    : CNNConvolutionGradient(device, source, descriptorOf("CNNFullyConnectedGradient", source),
                             "CNNFullyConnectedGradient") {}

CNNFullyConnectedGradient CNNFullyConnectedGradient::copy(const MTL::Device& device) const {
    CNNFullyConnectedGradient made(device ? device : this->device(), sourceFor(dataSource(), device));
    static_cast<CNNGradientKernel&>(made) = *this;
    made.setDevice(device);
    made.setGradientOption(gradientOption());
    return made;
}

} // namespace mpsvk::MPS
