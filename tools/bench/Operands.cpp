#include "Operands.hpp"

#include <mpsvk/Error.hpp>
#include <mpsvk/MPS/CNNNeuron.hpp>
#include <mpsvk/MTL/BlitCommandEncoder.hpp>

#include <cmath>

namespace mpsvk::bench {

namespace {

MTL::Buffer privateCopy(const MTL::CommandQueue& queue, const MTL::Buffer& staging) {
    const MTL::Buffer made =
        queue.device().newBuffer(staging.length(), MTL::ResourceOptions::StorageModePrivate);
    run(queue, [&](const MTL::CommandBuffer& commands) {
        const MTL::BlitCommandEncoder blit = commands.blitCommandEncoder();
        blit.copyFromBuffer(staging, 0, made, 0, staging.length());
        blit.endEncoding();
    });
    return made;
}

} // namespace

std::vector<float> randomNumbers(size_t count, uint64_t seed) {
    std::vector<float> numbers(count);
    uint64_t state = seed * 0x9E3779B97F4A7C15u + 1;
    for (float& number : numbers) { // xorshift64*
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        const auto bits = int32_t((state * 0x2545F4914F6CDD1Du) >> 40);
        number = float(bits - (1 << 23)) * (1.0f / (1 << 23));
    }
    return numbers;
}

MPS::ImageDescriptor Images::descriptor(uint64_t width, uint64_t height, uint64_t channels) const {
    MPS::ImageDescriptor made(format, width, height, channels);
    made.setStorageMode(MTL::StorageMode::Private);
    return made;
}

MPS::ImageBatch Images::make(uint64_t count, uint64_t width, uint64_t height,
                             uint64_t channels) const {
    return MPS::Image::batch(queue.device(), descriptor(width, height, channels), count);
}

MPS::ImageBatch Images::random(uint64_t count, uint64_t width, uint64_t height, uint64_t channels,
                               uint64_t seed) const {
    MPS::ImageDescriptor reachable = descriptor(width, height, channels);
    reachable.setStorageMode(MTL::StorageMode::Shared);
    const MPS::ImageBatch staging = MPS::Image::batch(queue.device(), reachable, count);
    // Each image is another window on the same numbers: no two are equal, and it takes no time.
    const size_t size = width * height * channels;
    const std::vector<float> numbers = randomNumbers(size + 64 * count, seed);
    for (size_t i = 0; i < count; ++i) staging[i].write(std::span(numbers).subspan(61 * i, size));
    const MPS::ImageBatch made = make(count, width, height, channels);
    MPS::CNNNeuron copy(queue.device(), MPS::NNNeuronDescriptor(MPS::CNNNeuronType::None));
    run(queue,
        [&](const MTL::CommandBuffer& commands) { copy.encodeBatch(commands, staging, made); });
    return made;
}

MTL::Buffer privateBuffer(const MTL::CommandQueue& queue, const std::vector<float>& values) {
    return privateCopy(queue, queue.device().newBuffer(std::as_bytes(std::span(values))));
}

MPS::Matrix randomMatrix(const MTL::CommandQueue& queue, const MPS::MatrixDescriptor& descriptor,
                         uint64_t seed) {
    const MPS::Matrix staging(queue.device(), descriptor);
    staging.write(randomNumbers(descriptor.rows() * descriptor.columns(), seed));
    return MPS::Matrix(privateCopy(queue, staging.data()), descriptor);
}

MPS::Vector randomVector(const MTL::CommandQueue& queue, uint64_t length, uint64_t seed) {
    return MPS::Vector(privateBuffer(queue, randomNumbers(length, seed)),
                       MPS::VectorDescriptor(length, MPS::DataType::Float32));
}

MPS::Vector zeros(const MTL::Device& device, uint64_t length) {
    const MTL::Buffer buffer =
        device.newBuffer(length * sizeof(float), MTL::ResourceOptions::StorageModePrivate);
    return MPS::Vector(buffer, MPS::VectorDescriptor(length, MPS::DataType::Float32));
}

RandomWeights::RandomWeights(const MPS::CNNConvolutionDescriptor& shape, MPS::DataType kernelType,
                             uint64_t seed)
    : shape_(shape), kernelType_(kernelType), weights_(randomNumbers(shape.weightCount(), seed)) {
    const float perOutput = float(shape.weightCount()) / float(shape.outputFeatureChannels());
    for (float& weight : weights_) weight /= std::sqrt(perOutput);
}

} // namespace mpsvk::bench
