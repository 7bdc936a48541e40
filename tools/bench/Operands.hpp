// Random operands: images, vectors and weights.
#pragma once

#include <mpsvk/Error.hpp>
#include <mpsvk/MPS/CNNConvolution.hpp>
#include <mpsvk/MPS/Matrix.hpp>
#include <mpsvk/MTL/CommandQueue.hpp>

#include <cstdint>
#include <span>
#include <vector>

namespace mpsvk::bench {

/// Submits what `encode` records and waits. Throws DeviceError when the device fails.
template <class Encode> MTL::CommandBuffer run(const MTL::CommandQueue& queue, Encode&& encode) {
    const MTL::CommandBuffer commands = queue.commandBuffer();
    encode(commands);
    commands.commit();
    commands.waitUntilCompleted();
    if (const MTL::CommandBufferError error = commands.error())
        throw DeviceError(error.description);
    return commands;
}

/// `count` numbers in [-1, 1), other ones for another seed.
std::vector<float> randomNumbers(size_t count, uint64_t seed);

/// Where images of a case live: the GPU's own memory, in the case's format.
struct Images {
    MTL::CommandQueue queue;
    MPS::ImageFeatureChannelFormat format = MPS::ImageFeatureChannelFormat::Float32;

    MPS::ImageDescriptor descriptor(uint64_t width, uint64_t height, uint64_t channels) const;
    MPS::ImageBatch make(uint64_t count, uint64_t width, uint64_t height, uint64_t channels) const;
    MPS::ImageBatch random(uint64_t count, uint64_t width, uint64_t height, uint64_t channels,
                           uint64_t seed) const;
};

MTL::Buffer privateBuffer(const MTL::CommandQueue& queue, const std::vector<float>& values);
MPS::Matrix randomMatrix(const MTL::CommandQueue& queue, const MPS::MatrixDescriptor& descriptor,
                         uint64_t seed);
MPS::Vector randomVector(const MTL::CommandQueue& queue, uint64_t length, uint64_t seed);
/// In the GPU's own memory.
MPS::Vector zeros(const MTL::Device& device, uint64_t length);

/// Weights of the size that keeps a layer's outputs near 1, and no biases.
class RandomWeights : public MPS::CNNConvolutionDataSource {
public:
    RandomWeights(const MPS::CNNConvolutionDescriptor& shape, MPS::DataType kernelType,
                  uint64_t seed);
    MPS::DataType dataType() const override { return MPS::DataType::Float32; }
    MPS::DataType kernelWeightsDataType() const override { return kernelType_; }
    MPS::CNNConvolutionDescriptor descriptor() const override { return shape_; }
    std::span<const std::byte> weights() const override {
        return std::as_bytes(std::span(weights_));
    }
    std::span<const float> biasTerms() const override { return biases_; }
    bool load() override { return true; }
    void purge() override {}

protected:
    MPS::CNNConvolutionDescriptor shape_;
    MPS::DataType kernelType_;
    std::vector<float> weights_, biases_;
};

} // namespace mpsvk::bench
