#include "mps/CNNConvolutionState.hpp"

#include "mtl/Object.hpp"

#include <mpsvk/Error.hpp>

#include <utility>

namespace mpsvk::MPS {

CNNConvolutionGradientState::Impl::Impl(MTL::Device device, mps::ForwardRecord record,
                                        const CNNConvolutionDescriptor& descriptor,
                                        std::shared_ptr<const CNNConvolution> forward)
    : NNGradientState::Impl(std::move(device), std::move(record)), convolution(std::move(forward)) {
    addBuffer(descriptor.weightCount() * sizeof(float));
    addBuffer(descriptor.outputFeatureChannels() * sizeof(float));
}

ImageDescriptor CNNConvolutionGradientState::Impl::adjust(const ImageBatch&, const StateBatch&,
                                                          Kernel& kernel,
                                                          const ImageDescriptor& suggested) const {
    auto* const undoing = dynamic_cast<CNNConvolutionTranspose*>(&kernel);
    if (!undoing) return suggested;
    const auto kernelOffset = [](int64_t offset, uint64_t taps, uint64_t dilation) {
        return glsl::gradientKernelOffset(int(offset),
                                          glsl::dilatedExtent(int(taps), int(dilation)));
    };
    undoing->setOffset({0, 0, undoing->offset().z});
    undoing->setKernelOffsetX(
        kernelOffset(record.offset.x, record.window.width, record.window.dilationX));
    undoing->setKernelOffsetY(
        kernelOffset(record.offset.y, record.window.height, record.window.dilationY));
    ImageDescriptor d = suggested;
    d.setWidth(record.sourceWidth);
    d.setHeight(record.sourceHeight);
    return d;
}

CNNConvolutionGradientState::CNNConvolutionGradientState(std::shared_ptr<Impl> impl)
    : NNGradientState(std::move(impl)) {}

CNNConvolutionGradientState::Impl& CNNConvolutionGradientState::impl() const {
    return static_cast<Impl&>(State::impl());
}

bool CNNConvolutionGradientState::isKindOf(const detail::ObjectImpl& object) {
    return MTL::isA<Impl>(object);
}

MTL::Buffer CNNConvolutionGradientState::gradientForWeights() const {
    return impl().bufferObject(Impl::Weights);
}
MTL::Buffer CNNConvolutionGradientState::gradientForBiases() const {
    return impl().bufferObject(Impl::Biases);
}
std::shared_ptr<const CNNConvolution> CNNConvolutionGradientState::convolution() const {
    return impl().convolution;
}
uint64_t CNNConvolutionGradientState::sourceWidth() const { return impl().record.sourceWidth; }
uint64_t CNNConvolutionGradientState::sourceHeight() const { return impl().record.sourceHeight; }

CNNConvolutionTransposeGradientState::Impl::Impl(
    MTL::Device device, mps::ForwardRecord record, const CNNConvolutionDescriptor& descriptor,
    std::shared_ptr<const CNNConvolutionTranspose> made, CNNConvolutionGradientState given)
    : CNNConvolutionGradientState::Impl(std::move(device), std::move(record), descriptor,
                                        given ? given.convolution() : nullptr),
      transpose(std::move(made)), coupled(std::move(given)) {}

CNNConvolutionTransposeGradientState::CNNConvolutionTransposeGradientState(
    std::shared_ptr<Impl> impl)
    : CNNConvolutionGradientState(std::move(impl)) {}

CNNConvolutionTransposeGradientState::Impl& CNNConvolutionTransposeGradientState::impl() const {
    return static_cast<Impl&>(State::impl());
}

bool CNNConvolutionTransposeGradientState::isKindOf(const detail::ObjectImpl& object) {
    return dynamic_cast<const Impl*>(&object) != nullptr;
}

std::shared_ptr<const CNNConvolutionTranspose>
CNNConvolutionTransposeGradientState::convolutionTranspose() const {
    return impl().transpose;
}

void CNNConvolutionWeightsAndBiasesState::Impl::fill() {
    if (const auto call = std::exchange(fillBeforeUse, nullptr)) call();
}

vk::BufferSlice CNNConvolutionWeightsAndBiasesState::Impl::weightsSlice() {
    fill();
    const vk::BufferSlice& all = buffer(Weights);
    return {all.buffer, all.offset + weightsOffset, weightsBytes};
}

vk::BufferSlice CNNConvolutionWeightsAndBiasesState::Impl::biasesSlice() {
    if (!hasBiases) return {};
    fill();
    const vk::BufferSlice& all = buffer(Biases);
    return {all.buffer, all.offset + biasesOffset, biasesBytes};
}

namespace {

using WeightsState = CNNConvolutionWeightsAndBiasesState;

std::shared_ptr<WeightsState::Impl> allocated(const MTL::Device& device,
                                              const CNNConvolutionDescriptor& descriptor) {
    device.impl();
    auto made = std::make_shared<WeightsState::Impl>(device);
    made->weightsBytes = descriptor.weightCount() * sizeof(float);
    made->biasesBytes = descriptor.outputFeatureChannels() * sizeof(float);
    made->resources.reserve(2);
    made->addBuffer(made->weightsBytes);
    made->addBuffer(made->biasesBytes);
    made->hasBiases = true;
    return made;
}

std::shared_ptr<WeightsState::Impl> wrapping(const MTL::Buffer& weights, uint64_t weightsOffset,
                                             uint64_t weightsBytes, const MTL::Buffer& biases,
                                             uint64_t biasesOffset, uint64_t biasesBytes) {
    const std::string who = "[CNNConvolutionWeightsAndBiasesState] ";
    const auto checkPart = [&](const char* name, const MTL::Buffer& buffer, uint64_t offset,
                               uint64_t bytes) {
        if (offset % 4 != 0)
            throw InvalidArgument(who + name + "Offset is " + std::to_string(offset) +
                                  " but must be a multiple of 4.");
        if (offset > buffer.length() || bytes > buffer.length() - offset)
            throw InvalidArgument(who + name + " needs " + std::to_string(bytes) +
                                  " bytes from offset " + std::to_string(offset) +
                                  " but its buffer has " + std::to_string(buffer.length()) + ".");
    };
    checkPart("weights", weights, weightsOffset, weightsBytes);
    auto made = std::make_shared<WeightsState::Impl>(weights.device());
    made->wrapped = true;
    made->addBuffer(weights);
    made->weightsOffset = weightsOffset;
    made->weightsBytes = weightsBytes;
    if (biases) {
        if (!(biases.device() == weights.device()))
            throw InvalidArgument(who + "weights belongs to the device \"" +
                                  weights.device().name() + "\" but biases to another one, \"" +
                                  biases.device().name() + "\".");
        checkPart("biases", biases, biasesOffset, biasesBytes);
        made->addBuffer(biases);
        made->hasBiases = true;
        made->biasesOffset = biasesOffset;
        made->biasesBytes = biasesBytes;
    }
    return made;
}

} // namespace

CNNConvolutionWeightsAndBiasesState::CNNConvolutionWeightsAndBiasesState(std::shared_ptr<Impl> impl)
    : State(std::move(impl)) {}

CNNConvolutionWeightsAndBiasesState::CNNConvolutionWeightsAndBiasesState(const MTL::Buffer& weights,
                                                                         const MTL::Buffer& biases)
    : State(wrapping(weights, 0, weights.length(), biases, 0, biases ? biases.length() : 0)) {
    impl().isWhole = true;
}

CNNConvolutionWeightsAndBiasesState::CNNConvolutionWeightsAndBiasesState(
    const MTL::Device& device, const CNNConvolutionDescriptor& descriptor)
    : State(allocated(device, descriptor)) {}

CNNConvolutionWeightsAndBiasesState::CNNConvolutionWeightsAndBiasesState(
    const MTL::Buffer& weights, uint64_t weightsOffset, const MTL::Buffer& biases,
    uint64_t biasesOffset, const CNNConvolutionDescriptor& descriptor)
    : State(wrapping(weights, weightsOffset, descriptor.weightCount() * sizeof(float), biases,
                     biasesOffset, descriptor.outputFeatureChannels() * sizeof(float))) {}

CNNConvolutionWeightsAndBiasesState
CNNConvolutionWeightsAndBiasesState::temporaryCNNConvolutionWeightsAndBiasesState(
    const MTL::CommandBuffer& commandBuffer, const CNNConvolutionDescriptor& descriptor) {
    commandBuffer.impl().list("[CNNConvolutionWeightsAndBiasesState] ");
    auto made = allocated(commandBuffer.device(), descriptor);
    made->makeTemporary(commandBuffer);
    return CNNConvolutionWeightsAndBiasesState(std::move(made));
}

CNNConvolutionWeightsAndBiasesState::Impl& CNNConvolutionWeightsAndBiasesState::impl() const {
    return static_cast<Impl&>(State::impl());
}

bool CNNConvolutionWeightsAndBiasesState::isKindOf(const detail::ObjectImpl& object) {
    return MTL::isA<Impl>(object);
}

MTL::Buffer CNNConvolutionWeightsAndBiasesState::weights() const {
    impl().fill();
    return impl().bufferObject(Impl::Weights);
}
MTL::Buffer CNNConvolutionWeightsAndBiasesState::biases() const {
    impl().fill();
    return impl().hasBiases ? impl().bufferObject(Impl::Biases) : MTL::Buffer();
}
uint64_t CNNConvolutionWeightsAndBiasesState::weightsOffset() const { return impl().weightsOffset; }
uint64_t CNNConvolutionWeightsAndBiasesState::biasesOffset() const { return impl().biasesOffset; }

} // namespace mpsvk::MPS
