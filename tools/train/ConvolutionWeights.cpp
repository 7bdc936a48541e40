#include "ConvolutionWeights.hpp"

#include <bit>
#include <cmath>

#include <mpsvk/MTL/Device.hpp>

#include "RandomStream.hpp"

namespace mpsvk::train {

static_assert(std::endian::native == std::endian::little,
              "checkpoints hold floats as they lie in memory");

ConvolutionWeights::ConvolutionWeights(const MTL::Device& device, LayerShape shape, uint64_t seed,
                                       uint64_t stream, const UpdateSettings& settings)
    : shape_(std::move(shape)), state_(device, shape_.descriptor),
      optimizer_(device, settings,
                 {shape_.descriptor.weightCount(), shape_.descriptor.outputFeatureChannels()}) {
    RandomStream random(seed, RandomStream::Purpose::Weights, stream);
    const MPS::CNNConvolutionDescriptor& descriptor = shape_.descriptor;
    const uint64_t fanIn = descriptor.weightCount() / descriptor.outputFeatureChannels();
    // The square root is the only operation here that is not exact, and IEEE fixes its rounding.
    const float limit = std::sqrt(6.0f / static_cast<float>(fanIn));
    for (float& weight : floats(state_.weights())) weight = random.symmetric(limit);
}

void ConvolutionWeights::write(ByteWriter& archive) const {
    archive.blob(state_.weights().contents());
    archive.blob(state_.biases().contents());
    optimizer_.write(archive);
}

void ConvolutionWeights::read(ByteReader& archive) {
    readBuffer(archive, state_.weights(), shape_.label);
    readBuffer(archive, state_.biases(), shape_.label);
    optimizer_.read(archive, shape_.label);
}

MPS::DataType ConvolutionWeights::kernelWeightsDataType() const {
    return shape_.precision == Precision::Float32 ? MPS::DataType::Float32 : MPS::DataType::Float16;
}

std::span<const std::byte> ConvolutionWeights::weights() const {
    return state_.weights().contents();
}

std::span<const float> ConvolutionWeights::biasTerms() const { return floats(state_.biases()); }

MPS::CNNConvolutionWeightsAndBiasesState
ConvolutionWeights::update(MTL::CommandBuffer commandBuffer,
                           MPS::CNNConvolutionGradientState gradients,
                           MPS::CNNConvolutionWeightsAndBiasesState) {
    // In place, from our fp32 weights: the kernels' copies may be rounded.
    optimizer_.encode(commandBuffer, gradients, state_);
    return state_;
}

} // namespace mpsvk::train
