#include "Layers.hpp"

#include <algorithm>

#include <mpsvk/MTL/Device.hpp>

namespace mpsvk::examples {

namespace {

MTL::Buffer filled(const MTL::Device& device, uint64_t count, float value) {
    const MTL::Buffer buffer = device.newBuffer(count * sizeof(float));
    std::ranges::fill(train::floats(buffer), value);
    return buffer;
}

MPS::Vector vectorOf(const MTL::Buffer& buffer, uint64_t length) {
    return MPS::Vector(buffer, MPS::VectorDescriptor(length, MPS::DataType::Float32));
}

constexpr float newShare = 0.1f; ///< of a batch's statistics in the running ones

} // namespace

BatchNormalization::BatchNormalization(const MTL::Device& device, std::string label,
                                       uint64_t channels, float gamma,
                                       const train::UpdateSettings& settings)
    : label_(std::move(label)), channels_(channels), gamma_(filled(device, channels, gamma)),
      beta_(filled(device, channels, 0)), mean_(filled(device, channels, 0)),
      variance_(filled(device, channels, 1)), optimizer_(device, settings, {channels, channels}),
      average_(train::adder(device, newShare, 1)) {}

MPS::CNNNormalizationGammaAndBetaState
BatchNormalization::updateGammaAndBeta(MTL::CommandBuffer commandBuffer,
                                       MPS::CNNBatchNormalizationState state) {
    const MPS::CNNNormalizationGammaAndBetaState parameters(gamma_, beta_);
    optimizer_.encode(commandBuffer, state, parameters);
    return parameters;
}

MPS::CNNNormalizationMeanAndVarianceState
BatchNormalization::updateMeanAndVariance(MTL::CommandBuffer commandBuffer,
                                          MPS::CNNBatchNormalizationState state) {
    const auto average = [&](const MTL::Buffer& ofBatch, const MTL::Buffer& running) {
        const MPS::Vector values = vectorOf(running, channels_);
        average_.encode(commandBuffer, vectorOf(ofBatch, channels_), values, {}, values);
    };
    average(state.mean(), mean_);
    average(state.variance(), variance_);
    train::countRead(state);
    // Kernels in training take each batch's own; those of inference reload from this source.
    return {};
}

InstanceNormalization::InstanceNormalization(const MTL::Device& device, std::string label,
                                             uint64_t channels,
                                             const train::UpdateSettings& settings)
    : label_(std::move(label)), channels_(channels), gamma_(filled(device, channels, 1)),
      beta_(filled(device, channels, 0)), sumForGamma_(filled(device, channels, 0)),
      sumForBeta_(filled(device, channels, 0)), optimizer_(device, settings, {channels, channels}),
      add_(device, -1) {}

MPS::CNNNormalizationGammaAndBetaState
InstanceNormalization::updateGammaAndBeta(MTL::CommandBuffer commandBuffer,
                                          MPS::StateBatch gradientStates) {
    const std::array<MPS::Vector, 2> sums{vectorOf(sumForGamma_, channels_),
                                          vectorOf(sumForBeta_, channels_)};
    std::array<MPS::Vector, 2> gradients;
    for (size_t i = 0; i < gradientStates.size(); ++i) {
        const auto state = gradientStates[i].as<MPS::CNNInstanceNormalizationGradientState>();
        gradients = {vectorOf(state.gradientForGamma(), channels_),
                     vectorOf(state.gradientForBeta(), channels_)};
        if (gradientStates.size() > 1) {
            // The first of the batch takes the place of the last step's sum.
            auto start = train::adder(commandBuffer.device(), 1, 1);
            for (size_t k = 0; k < sums.size(); ++k)
                (i == 0 ? start : add_).encode(commandBuffer, gradients[k], sums[k], {}, sums[k]);
        }
        train::countRead(state);
    }
    optimizer_.encode(commandBuffer, gradientStates.size() > 1 ? sums : gradients,
                      {vectorOf(gamma_, channels_), vectorOf(beta_, channels_)});
    return MPS::CNNNormalizationGammaAndBetaState(gamma_, beta_);
}

Layers::Layers(const MTL::Device& device, uint64_t seed, train::Precision precision,
               const train::UpdateSettings& settings)
    : device_(device), seed_(seed), precision_(precision), settings_(settings) {}

std::shared_ptr<train::ConvolutionWeights>
Layers::convolution(const std::string& label, const MPS::CNNConvolutionDescriptor& descriptor) {
    auto& layer = convolutions_[label];
    if (!layer) {
        layer = std::make_shared<train::ConvolutionWeights>(
            device_, train::LayerShape{label, descriptor, precision_}, seed_,
            convolutions_.size() - 1, settings_);
    }
    return layer;
}

std::shared_ptr<BatchNormalization> Layers::batchNormalization(const std::string& label,
                                                               uint64_t channels, float gamma) {
    auto& layer = batchNormalizations_[label];
    if (!layer)
        layer = std::make_shared<BatchNormalization>(device_, label, channels, gamma, settings_);
    return layer;
}

std::shared_ptr<InstanceNormalization> Layers::instanceNormalization(const std::string& label,
                                                                     uint64_t channels) {
    auto& layer = instanceNormalizations_[label];
    if (!layer)
        layer = std::make_shared<InstanceNormalization>(device_, label, channels, settings_);
    return layer;
}

void Layers::setLearningRate(float rate) {
    for (const auto& [label, layer] : convolutions_) layer->setLearningRate(rate);
    for (const auto& [label, layer] : batchNormalizations_) layer->setLearningRate(rate);
    for (const auto& [label, layer] : instanceNormalizations_) layer->setLearningRate(rate);
}

} // namespace mpsvk::examples
