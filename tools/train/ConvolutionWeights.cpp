#include "ConvolutionWeights.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

#include <mpsvk/MTL/Device.hpp>

#include "RandomStream.hpp"

namespace mpsvk::train {

static_assert(std::endian::native == std::endian::little,
              "checkpoints hold floats as they lie in memory");

namespace {

std::span<float> floats(const MTL::Buffer& buffer) {
    const std::span<std::byte> bytes = buffer.contents();
    return {reinterpret_cast<float*>(bytes.data()), bytes.size() / sizeof(float)};
}

/// The same memory, as the optimizer takes it.
MPS::Vector vectorOf(const MTL::Buffer& buffer) {
    return MPS::Vector(
        buffer, MPS::VectorDescriptor(buffer.length() / sizeof(float), MPS::DataType::Float32));
}

uint64_t weightCount(const LayerShape& shape) {
    return shape.kernelWidth * shape.kernelHeight * shape.inputs * shape.outputs;
}

} // namespace

ConvolutionWeights::Parameters::Parameters(const MTL::Device& device, uint64_t count)
    : values(device.newBuffer(count * sizeof(float))),
      momentum(device.newBuffer(count * sizeof(float))),
      velocity(device.newBuffer(count * sizeof(float))) {
    for (const MTL::Buffer& buffer : {values, momentum, velocity})
        std::ranges::fill(floats(buffer), 0.0f);
}

ConvolutionWeights::ConvolutionWeights(const MTL::Device& device, LayerShape shape, uint64_t seed,
                                       uint64_t stream)
    : shape_(std::move(shape)), weights_(device, weightCount(shape_)),
      biases_(device, shape_.outputs),
      state_(weights_.values, biases_.values), momenta_{vectorOf(weights_.momentum),
                                                        vectorOf(biases_.momentum)},
      velocities_{vectorOf(weights_.velocity), vectorOf(biases_.velocity)}, adam_(device, 0.001f) {
    RandomStream random(seed, RandomStream::Purpose::Weights, stream);
    const uint64_t fanIn = shape_.kernelWidth * shape_.kernelHeight * shape_.inputs;
    // The square root is the only operation here that is not exact, and IEEE fixes its rounding.
    const float limit = std::sqrt(6.0f / static_cast<float>(fanIn));
    for (float& weight : floats(weights_.values)) weight = random.symmetric(limit);
}

std::array<MTL::Buffer, 6> ConvolutionWeights::buffers() const {
    return {weights_.values,  biases_.values,    weights_.momentum,
            biases_.momentum, weights_.velocity, biases_.velocity};
}

void ConvolutionWeights::write(ByteWriter& archive) const {
    for (const MTL::Buffer& buffer : buffers()) archive.blob(buffer.contents());
    archive.number(adam_.timeStep());
}

void ConvolutionWeights::read(ByteReader& archive) {
    for (const MTL::Buffer& buffer : buffers()) {
        const size_t at = archive.offset();
        const auto stored = archive.blob("a layer's parameters");
        if (stored.size() != buffer.length()) {
            archive.fail(at, "layer " + shape_.label + " has " + std::to_string(stored.size()) +
                                 " bytes of parameters instead of " +
                                 std::to_string(buffer.length()));
        }
        std::ranges::copy(stored, buffer.contents().begin());
    }
    adam_.setTimeStep(archive.number<uint64_t>("Adam's time step"));
}

MPS::DataType ConvolutionWeights::kernelWeightsDataType() const {
    return shape_.precision == Precision::Float32 ? MPS::DataType::Float32 : MPS::DataType::Float16;
}

MPS::CNNConvolutionDescriptor ConvolutionWeights::descriptor() const {
    return MPS::CNNConvolutionDescriptor(shape_.kernelWidth, shape_.kernelHeight, shape_.inputs,
                                         shape_.outputs);
}

std::span<const std::byte> ConvolutionWeights::weights() const {
    return weights_.values.contents();
}

std::span<const float> ConvolutionWeights::biasTerms() const { return floats(biases_.values); }

MPS::CNNConvolutionWeightsAndBiasesState
ConvolutionWeights::update(const MTL::CommandBuffer& commandBuffer,
                           const MPS::CNNConvolutionGradientState& gradients,
                           const MPS::CNNConvolutionWeightsAndBiasesState&) {
    // In place, from our fp32 weights: the kernels' copies may be rounded.
    adam_.encode(commandBuffer, gradients, state_, momenta_, velocities_, state_);
    return state_;
}

} // namespace mpsvk::train
