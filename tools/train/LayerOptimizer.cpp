#include "LayerOptimizer.hpp"

#include <algorithm>
#include <string>

#include <mpsvk/MTL/Device.hpp>

namespace mpsvk::train {

namespace {

MPS::NNOptimizerDescriptor descriptorOf(const UpdateSettings& settings) {
    return {settings.learningRate, 1,
            settings.weightDecay == 0 ? MPS::NNRegularizationType::None
                                      : MPS::NNRegularizationType::L2,
            settings.weightDecay};
}

std::vector<MPS::Vector> zeros(const MTL::Device& device, std::array<uint64_t, 2> lengths) {
    std::vector<MPS::Vector> made;
    for (const uint64_t length : lengths) {
        const MTL::Buffer buffer = device.newBuffer(length * sizeof(float));
        std::ranges::fill(floats(buffer), 0.0f);
        made.push_back(vectorOf(buffer));
    }
    return made;
}

} // namespace

std::span<float> floats(const MTL::Buffer& buffer) {
    const std::span<std::byte> bytes = buffer.contents();
    return {reinterpret_cast<float*>(bytes.data()), bytes.size() / sizeof(float)};
}

MPS::Vector vectorOf(const MTL::Buffer& buffer) {
    return MPS::Vector(
        buffer, MPS::VectorDescriptor(buffer.length() / sizeof(float), MPS::DataType::Float32));
}

void countRead(const MPS::State& state) {
    if (state.isTemporary()) state.setReadCount(state.readCount() - 1);
}

MPS::NNOptimizerStochasticGradientDescent adder(const MTL::Device& device, float share,
                                                float keep) {
    return {device, 0, false,
            MPS::NNOptimizerDescriptor(-share, 1, MPS::NNRegularizationType::L2, -keep)};
}

LayerOptimizer::LayerOptimizer(const MTL::Device& device, const UpdateSettings& settings,
                               std::array<uint64_t, 2> lengths)
    : rule_(settings.rule), momenta_(zeros(device, lengths)),
      adam_(device, 0.9, 0.999, 1e-8f, 0, descriptorOf(settings)),
      descent_(device, settings.momentum, false, descriptorOf(settings)) {
    if (rule_ == UpdateRule::Adam) velocities_ = zeros(device, lengths);
}

void LayerOptimizer::setLearningRate(float rate) {
    adam_.setLearningRate(rate);
    descent_.setLearningRate(rate);
}

void LayerOptimizer::encode(const MTL::CommandBuffer& commandBuffer,
                            const MPS::CNNConvolutionGradientState& gradients,
                            const MPS::CNNConvolutionWeightsAndBiasesState& values) {
    if (rule_ == UpdateRule::Adam)
        adam_.encode(commandBuffer, gradients, values, momenta_, velocities_, values);
    else
        descent_.encode(commandBuffer, gradients, values, momenta_, values);
}

void LayerOptimizer::encode(const MTL::CommandBuffer& commandBuffer,
                            const MPS::CNNBatchNormalizationState& gradients,
                            const MPS::CNNNormalizationGammaAndBetaState& values) {
    if (rule_ == UpdateRule::Adam)
        adam_.encode(commandBuffer, gradients, momenta_, velocities_, values);
    else
        descent_.encode(commandBuffer, gradients, momenta_, values);
}

void LayerOptimizer::encode(const MTL::CommandBuffer& commandBuffer,
                            const std::array<MPS::Vector, 2>& gradients,
                            const std::array<MPS::Vector, 2>& values) {
    const uint64_t step = adam_.timeStep();
    for (size_t i = 0; i < gradients.size(); ++i) {
        if (rule_ == UpdateRule::Adam) {
            adam_.setTimeStep(step); // both arrays are updated in the same step
            adam_.encode(commandBuffer, gradients[i], values[i], momenta_[i], velocities_[i],
                         values[i]);
        } else {
            descent_.encode(commandBuffer, gradients[i], values[i], momenta_[i], values[i]);
        }
    }
}

std::vector<MTL::Buffer> LayerOptimizer::moments() const {
    std::vector<MTL::Buffer> all;
    for (const MPS::Vector& vector : momenta_) all.push_back(vector.data());
    for (const MPS::Vector& vector : velocities_) all.push_back(vector.data());
    return all;
}

void LayerOptimizer::write(ByteWriter& archive) const {
    for (const MTL::Buffer& buffer : moments()) archive.blob(buffer.contents());
    archive.number(adam_.timeStep());
}

void LayerOptimizer::read(ByteReader& archive, const std::string& layer) {
    for (const MTL::Buffer& buffer : moments()) readBuffer(archive, buffer, layer);
    adam_.setTimeStep(archive.number<uint64_t>("Adam's time step"));
}

void readBuffer(ByteReader& archive, const MTL::Buffer& buffer, const std::string& layer) {
    const size_t at = archive.offset();
    const auto stored = archive.blob("a layer's parameters");
    if (stored.size() != buffer.length()) {
        archive.fail(at, "layer " + layer + " has " + std::to_string(stored.size()) +
                             " bytes of parameters instead of " + std::to_string(buffer.length()));
    }
    std::ranges::copy(stored, buffer.contents().begin());
}

} // namespace mpsvk::train
