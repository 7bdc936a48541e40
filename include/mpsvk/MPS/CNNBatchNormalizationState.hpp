// What batch normalization takes its parameters from, and the state of a batch.
#pragma once

#include <mpsvk/MPS/CNNNormalizationWeights.hpp>
#include <mpsvk/MPS/NNGradientState.hpp>

#include <cfloat>

namespace mpsvk::MPS {

class CNNBatchNormalization;
class CNNBatchNormalizationState;

/// Whether a graph's node computes the statistics of each batch. MPSCNNBatchNormalizationFlags.
enum class CNNBatchNormalizationFlags : uint64_t {
    Default = 0,
    CalculateStatisticsAutomatic = 0, ///< where the node's state is read by a gradient
                                      ///< node, or exported
    CalculateStatisticsAlways = 1,
    CalculateStatisticsNever = 2, ///< the data source's mean and variance hold
    CalculateStatisticsMask = 3,
};

/// The parameters of a batch normalization, and their updates. An array is empty or has
/// numberOfFeatureChannels() elements. MPSCNNBatchNormalizationDataSource.
class CNNBatchNormalizationDataSource {
public:
    virtual ~CNNBatchNormalizationDataSource() = default;

    virtual uint64_t numberOfFeatureChannels() const = 0;
    virtual std::span<const float> gamma() const = 0; ///< empty: 1
    virtual std::span<const float> beta() const = 0;  ///< empty: 0
    /// The statistics of inference.
    virtual std::span<const float> mean() const = 0;     ///< empty: 0
    virtual std::span<const float> variance() const = 0; ///< empty: 1
    /// False makes the kernel's constructor (or the reload) throw.
    virtual bool load() = 0;
    virtual void purge() = 0;
    virtual std::string label() const { return {}; }
    virtual float epsilon() const { return FLT_MIN; }

    /// Encode an update (an optimizer, usually) and return the state that holds the new values, or
    /// an empty one for no change. Each lowers the read count of a temporary state by 1.
    virtual CNNNormalizationGammaAndBetaState
    updateGammaAndBeta(MTL::CommandBuffer commandBuffer,
                       CNNBatchNormalizationState batchNormalizationState);
    virtual CNNNormalizationMeanAndVarianceState
    updateMeanAndVariance(MTL::CommandBuffer commandBuffer,
                          CNNBatchNormalizationState batchNormalizationState);
    /// Update on the host; true makes the kernels reload from this source.
    virtual bool updateGammaAndBeta(CNNBatchNormalizationState batchNormalizationState);
    virtual bool updateMeanAndVariance(CNNBatchNormalizationState batchNormalizationState);
    /// The source for a copy of a kernel; null shares this one.
    virtual std::shared_ptr<CNNBatchNormalizationDataSource> copy(MTL::Device device) const;
};

/// One per layer and batch, made by CNNBatchNormalization's result-state methods. The kernels take
/// it in this order, each over the whole batch in one encode or in several, on one command buffer
/// or on several of one queue:
///
///     CNNBatchNormalizationStatistics          mean and variance of what was encoded
///     CNNBatchNormalization
///     CNNBatchNormalizationStatisticsGradient  sums of the gradients of gamma and beta
///     CNNBatchNormalizationGradient
///     an optimizer
///
/// The state is used again for the next batch as it is: statistics that were used (by any of the
/// kernels below) start anew with the next encode of CNNBatchNormalizationStatistics, and sums that
/// were used (by CNNBatchNormalizationGradient or an optimizer) with the next encode of
/// CNNBatchNormalizationStatisticsGradient; new statistics end the sums too.
///
/// MPSCNNBatchNormalizationState.
class CNNBatchNormalizationState : public NNGradientState {
public:
    CNNBatchNormalizationState() = default;

    /// The kernel that made the state, as it was then; its parameters are those in use.
    std::shared_ptr<const CNNBatchNormalization> batchNormalization() const;
    /// As if new: without statistics and without gradients.
    void reset() const;
    /// fp32, one per channel: the parameters that the kernel uses now. A reload of the kernel
    /// changes what is in these buffers.
    MTL::Buffer gamma() const;
    MTL::Buffer beta() const;
    /// fp32, one per channel: the statistics of the latest batch, or the kernel's own where
    /// CNNBatchNormalizationStatistics was not encoded.
    MTL::Buffer mean() const;
    MTL::Buffer variance() const;
    /// fp32, one per channel; empty until CNNBatchNormalizationStatisticsGradient was encoded.
    MTL::Buffer gradientForGamma() const;
    MTL::Buffer gradientForBeta() const;

    static bool isKindOf(const detail::ObjectImpl&);
    struct Impl;
    Impl& impl() const;
    explicit CNNBatchNormalizationState(std::shared_ptr<Impl> impl);
};

} // namespace mpsvk::MPS
