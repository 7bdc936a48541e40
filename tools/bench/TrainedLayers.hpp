// Parameters that training steps change on the GPU, in memory of its own.
#pragma once

#include "Operands.hpp"

#include <mpsvk/MPS/CNNBatchNormalizationState.hpp>
#include <mpsvk/MPS/NNOptimizer.hpp>

#include <array>
#include <utility>

namespace mpsvk::bench {

/// Random weights with biases, trained by Adam.
class AdamWeights : public RandomWeights {
public:
    AdamWeights(const MTL::CommandQueue& queue, const MPS::CNNConvolutionDescriptor& shape,
                MPS::DataType kernelType, uint64_t seed);
    using MPS::CNNConvolutionDataSource::update;
    MPS::CNNConvolutionWeightsAndBiasesState
    update(MTL::CommandBuffer commands, MPS::CNNConvolutionGradientState gradient,
           MPS::CNNConvolutionWeightsAndBiasesState source) override;

private:
    MPS::NNOptimizerAdam optimizer_;
    MPS::CNNConvolutionWeightsAndBiasesState trained_; ///< fp32, whatever the kernels compute with
    std::vector<MPS::Vector> momentum_, velocity_;
};

/// Gradient descent with momentum.
struct Descent {
    float learningRate = 0.01f, momentum = 0.9f;
    float gradientScale = 1; ///< gradients come this many times as large as they are

    MPS::NNOptimizerStochasticGradientDescent on(const MTL::Device& device) const;
};

/// He's weights, and no biases: a normalization follows.
class MomentumWeights : public RandomWeights {
public:
    MomentumWeights(const MTL::CommandQueue& queue, const MPS::CNNConvolutionDescriptor& shape,
                    MPS::DataType kernelType, uint64_t seed, const Descent& descent);
    using MPS::CNNConvolutionDataSource::update;
    MPS::CNNConvolutionWeightsAndBiasesState
    update(MTL::CommandBuffer commands, MPS::CNNConvolutionGradientState gradient,
           MPS::CNNConvolutionWeightsAndBiasesState source) override;

private:
    MPS::NNOptimizerStochasticGradientDescent optimizer_;
    MPS::CNNConvolutionWeightsAndBiasesState trained_; ///< fp32, whatever the kernels compute with
    std::vector<MPS::Vector> momentum_;
};

/// Gamma 1 and beta 0 at first, and the running statistics that inference would go by.
class MomentumNormalization : public MPS::CNNBatchNormalizationDataSource {
public:
    MomentumNormalization(const MTL::CommandQueue& queue, uint64_t channels,
                          const Descent& descent);
    uint64_t numberOfFeatureChannels() const override { return channels_; }
    std::span<const float> gamma() const override { return {}; }
    std::span<const float> beta() const override { return {}; }
    std::span<const float> mean() const override { return {}; }
    std::span<const float> variance() const override { return {}; }
    bool load() override { return true; }
    void purge() override {}
    float epsilon() const override { return 1e-5f; }
    using MPS::CNNBatchNormalizationDataSource::updateGammaAndBeta;
    using MPS::CNNBatchNormalizationDataSource::updateMeanAndVariance;
    MPS::CNNNormalizationGammaAndBetaState
    updateGammaAndBeta(MTL::CommandBuffer commands, MPS::CNNBatchNormalizationState state) override;
    MPS::CNNNormalizationMeanAndVarianceState
    updateMeanAndVariance(MTL::CommandBuffer commands,
                          MPS::CNNBatchNormalizationState state) override;

private:
    uint64_t channels_;
    MPS::NNOptimizerStochasticGradientDescent optimizer_, average_;
    MPS::CNNNormalizationGammaAndBetaState trained_;
    std::vector<MPS::Vector> momentum_, running_;
    /// A batch's mean and variance; most steps have them where the step before had.
    std::array<std::pair<MTL::Buffer, MPS::Vector>, 2> latest_;
};

} // namespace mpsvk::bench
