// The trained layers of a network: data sources that keep their parameters on the device and update
// them there.
#pragma once

#include <map>
#include <memory>

#include <mpsvk/MPS/CNNBatchNormalization.hpp>
#include <mpsvk/MPS/CNNInstanceNormalization.hpp>

#include "train/ConvolutionWeights.hpp"

namespace mpsvk::examples {

/// `gamma` and beta 0 at first, and the running statistics that inference goes by.
class BatchNormalization : public MPS::CNNBatchNormalizationDataSource {
public:
    BatchNormalization(const MTL::Device& device, std::string label, uint64_t channels, float gamma,
                       const train::UpdateSettings& settings);

    void setLearningRate(float rate) { optimizer_.setLearningRate(rate); }

    uint64_t numberOfFeatureChannels() const override { return channels_; }
    std::span<const float> gamma() const override { return train::floats(gamma_); }
    std::span<const float> beta() const override { return train::floats(beta_); }
    std::span<const float> mean() const override { return train::floats(mean_); }
    std::span<const float> variance() const override { return train::floats(variance_); }
    bool load() override { return true; }
    void purge() override {}
    std::string label() const override { return label_; }
    float epsilon() const override { return 1e-3f; }
    MPS::CNNNormalizationGammaAndBetaState
    updateGammaAndBeta(MTL::CommandBuffer commandBuffer,
                       MPS::CNNBatchNormalizationState state) override;
    MPS::CNNNormalizationMeanAndVarianceState
    updateMeanAndVariance(MTL::CommandBuffer commandBuffer,
                          MPS::CNNBatchNormalizationState state) override;

private:
    std::string label_;
    uint64_t channels_;
    MTL::Buffer gamma_, beta_, mean_, variance_;
    train::LayerOptimizer optimizer_;
    MPS::NNOptimizerStochasticGradientDescent average_;
};

/// Gamma 1 and beta 0 at first; the gradients of a batch are added up.
class InstanceNormalization : public MPS::CNNInstanceNormalizationDataSource {
public:
    InstanceNormalization(const MTL::Device& device, std::string label, uint64_t channels,
                          const train::UpdateSettings& settings);

    void setLearningRate(float rate) { optimizer_.setLearningRate(rate); }

    uint64_t numberOfFeatureChannels() const override { return channels_; }
    std::span<const float> gamma() const override { return train::floats(gamma_); }
    std::span<const float> beta() const override { return train::floats(beta_); }
    std::string label() const override { return label_; }
    float epsilon() const override { return 1e-3f; }
    MPS::CNNNormalizationGammaAndBetaState
    updateGammaAndBeta(MTL::CommandBuffer commandBuffer, MPS::StateBatch gradientStates) override;

private:
    std::string label_;
    uint64_t channels_;
    MTL::Buffer gamma_, beta_, sumForGamma_, sumForBeta_;
    train::LayerOptimizer optimizer_;
    MPS::NNOptimizerStochasticGradientDescent add_;
};

/// Makes layers at their first use; graphs that use a label again share the layer.
class Layers {
public:
    Layers(const MTL::Device& device, uint64_t seed, train::Precision precision,
           const train::UpdateSettings& settings);

    std::shared_ptr<train::ConvolutionWeights>
    convolution(const std::string& label, const MPS::CNNConvolutionDescriptor& descriptor);
    std::shared_ptr<BatchNormalization> batchNormalization(const std::string& label,
                                                           uint64_t channels, float gamma = 1);
    std::shared_ptr<InstanceNormalization> instanceNormalization(const std::string& label,
                                                                 uint64_t channels);
    void setLearningRate(float rate);

private:
    MTL::Device device_;
    uint64_t seed_;
    train::Precision precision_;
    train::UpdateSettings settings_;
    std::map<std::string, std::shared_ptr<train::ConvolutionWeights>> convolutions_;
    std::map<std::string, std::shared_ptr<BatchNormalization>> batchNormalizations_;
    std::map<std::string, std::shared_ptr<InstanceNormalization>> instanceNormalizations_;
};

} // namespace mpsvk::examples
