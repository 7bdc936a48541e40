// What normalizations load and optimizers write: gamma and beta, mean and variance.
#pragma once

#include <mpsvk/MPS/State.hpp>

namespace mpsvk::MPS {

/// fp32 gamma and beta with an element per feature channel. MPSCNNNormalizationGammaAndBetaState.
class CNNNormalizationGammaAndBetaState : public State {
public:
    CNNNormalizationGammaAndBetaState() = default;
    /// Wraps buffers. Throws InvalidArgument for an empty handle, a buffer without room for a
    /// channel, and buffers of two devices.
    CNNNormalizationGammaAndBetaState(const MTL::Buffer& gamma, const MTL::Buffer& beta);
    static CNNNormalizationGammaAndBetaState temporaryState(const MTL::CommandBuffer& commandBuffer,
                                                            uint64_t numberOfFeatureChannels);

    MTL::Buffer gamma() const;
    MTL::Buffer beta() const;

    static bool isKindOf(const detail::ObjectImpl&);
    struct Impl;
    Impl& impl() const;
    explicit CNNNormalizationGammaAndBetaState(std::shared_ptr<Impl> impl);
};

/// fp32 mean and variance with an element per feature channel. The variance is the variance itself,
/// neither its root nor its inverse, without epsilon. MPSCNNNormalizationMeanAndVarianceState.
class CNNNormalizationMeanAndVarianceState : public State {
public:
    CNNNormalizationMeanAndVarianceState() = default;
    /// Wraps buffers. Throws InvalidArgument as CNNNormalizationGammaAndBetaState does.
    CNNNormalizationMeanAndVarianceState(const MTL::Buffer& mean, const MTL::Buffer& variance);
    static CNNNormalizationMeanAndVarianceState
    temporaryState(const MTL::CommandBuffer& commandBuffer, uint64_t numberOfFeatureChannels);

    MTL::Buffer mean() const;
    MTL::Buffer variance() const;

    static bool isKindOf(const detail::ObjectImpl&);
    struct Impl;
    Impl& impl() const;
    explicit CNNNormalizationMeanAndVarianceState(std::shared_ptr<Impl> impl);
};

} // namespace mpsvk::MPS
