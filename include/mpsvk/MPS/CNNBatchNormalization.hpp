// MPSCNNBatchNormalization: normalization of each channel over a batch, and its gradient.
//
// With sums over all pixels of all images of the batch, N of them, for each channel:
//
//     mean = sum x / N        variance = sum (x - mean)^2 / N
//     x^ = (x - mean) / sqrt(variance + epsilon)        z = gamma * x^ + beta        y = f(z)
//
// where f is the fused neuron. With E the gradient of y, and e = E * f'(z):
//
//     dbeta = sum e        dgamma = sum e * x^
//     dx = gamma / sqrt(variance + epsilon) * (e - dbeta / N - x^ * dgamma / N)
//
// and dx = gamma / sqrt(variance + epsilon) * e where mean and variance are not the batch's. All of
// it in fp32, whatever the images' format. CNNBatchNormalizationState tells the order of encodes.
//
// Pixel q of a rectangle of clipRect's size is pixel offset + q of the source. Statistics and
// normalization of a batch must be over the same pixels. The source images must have as many
// channels (from sourceFeatureChannelOffset on, at most sourceFeatureChannelMaxCount) as gamma.
#pragma once

#include <mpsvk/MPS/CNNBatchNormalizationState.hpp>
#include <mpsvk/MPS/CNNNeuron.hpp>

namespace mpsvk::mps {
struct BatchNormalizationParameters;
struct NormalizationAccess;
} // namespace mpsvk::mps

namespace mpsvk::MPS {

/// y from x, with the source's mean and variance (inference) or with a state's.
/// MPSCNNBatchNormalization.
class CNNBatchNormalization : public CNNKernel {
public:
    /// Load the parameters. Throw InvalidArgument when the source does not load, or its arrays do
    /// not have numberOfFeatureChannels() elements.
    CNNBatchNormalization(const MTL::Device& device,
                          std::shared_ptr<CNNBatchNormalizationDataSource> dataSource);
    CNNBatchNormalization(const MTL::Device& device,
                          std::shared_ptr<CNNBatchNormalizationDataSource> dataSource,
                          const std::optional<NNNeuronDescriptor>& fusedNeuronDescriptor);
    /// A data source that is SecureCoding was archived itself; another one's values were, as the
    /// kernel had them then.
    CNNBatchNormalization(KeyedUnarchiver& coder, const MTL::Device& device);
    ~CNNBatchNormalization() override;
    /// Copies have parameters of their own.
    CNNBatchNormalization(const CNNBatchNormalization&);
    CNNBatchNormalization& operator=(const CNNBatchNormalization&);
    CNNBatchNormalization(CNNBatchNormalization&&) noexcept;
    CNNBatchNormalization& operator=(CNNBatchNormalization&&) noexcept;
    /// For another device: gamma, beta, mean and variance in use, and a copy of the data source
    /// where it makes one.
    CNNBatchNormalization copy(const MTL::Device& device) const;

    uint64_t numberOfFeatureChannels() const;
    /// The source's at first. States keep the one that holds when they are made.
    float epsilon() const { return epsilon_; }
    void setEpsilon(float epsilon) { epsilon_ = epsilon; }
    std::shared_ptr<CNNBatchNormalizationDataSource> dataSource() const;
    const NNNeuronDescriptor& fusedNeuronDescriptor() const { return neuron_; }

    using CNNKernel::encode;
    using CNNKernel::encodeBatch;
    /// With the statistics of the state, or this kernel's own where the state has none. Read the
    /// state once.
    void encode(const MTL::CommandBuffer& commandBuffer, const Image& sourceImage,
                const CNNBatchNormalizationState& batchNormalizationState,
                const Image& destinationImage);
    void encodeBatch(const MTL::CommandBuffer& commandBuffer, const ImageBatch& sourceImages,
                     const CNNBatchNormalizationState& batchNormalizationState,
                     const ImageBatch& destinationImages);
    void encode(const MTL::CommandBuffer&, const Image&, const State&, const Image&) = delete;
    Image encode(const MTL::CommandBuffer&, const Image&, State*, bool) = delete;
    void encodeBatch(const MTL::CommandBuffer&, const ImageBatch&, const StateBatch&,
                     const ImageBatch&) = delete;
    ImageBatch encodeBatch(const MTL::CommandBuffer&, const ImageBatch&, StateBatch*,
                           bool) = delete;

    CNNBatchNormalizationState resultState(const Image& sourceImage, const StateBatch& sourceStates,
                                           const Image& destinationImage) const;
    CNNBatchNormalizationState temporaryResultState(const MTL::CommandBuffer& commandBuffer,
                                                    const Image& sourceImage,
                                                    const StateBatch& sourceStates,
                                                    const Image& destinationImage) const;

    /// At once; no encoded work with the old values may be in flight.
    void reloadGammaAndBetaFromDataSource();
    void reloadMeanAndVarianceFromDataSource();
    /// In the order of the command buffer: earlier encodes use the old values, later ones the new.
    /// Read the state once.
    void reloadGammaAndBeta(const MTL::CommandBuffer& commandBuffer,
                            const CNNNormalizationGammaAndBetaState& gammaAndBetaState);
    void reloadMeanAndVariance(const MTL::CommandBuffer& commandBuffer,
                               const CNNNormalizationMeanAndVarianceState& meanAndVarianceState);

    std::string className() const override { return "CNNBatchNormalization"; }
    bool isResultStateReusedAcrossBatch() const override { return true; }

private:
    /// A kernel that shares the parameters of `other`.
    CNNBatchNormalization(const CNNBatchNormalization& other,
                          std::shared_ptr<mps::BatchNormalizationParameters> shared);
    void archive(mps::Archive& archive) override;
    StateBatch makeResultStates(const mps::StateRequest& request) const override;
    StateBatch statesRead(const StateBatch& states) const override;
    void validate(const mps::UnaryPass& pass) const override;
    void dispatch(const mps::UnaryPass& pass) const override;
    void takeParameters(const CNNBatchNormalization& other);

    friend struct mps::NeuronAccess;
    friend struct mps::NormalizationAccess;
    std::shared_ptr<mps::BatchNormalizationParameters> parameters_;
    float epsilon_;
    NNNeuronDescriptor neuron_{CNNNeuronType::None};
    MTL::Buffer slopes_;
    ImageBatch addends_; ///< set by graphs: added to z, before the neuron
};

/// Mean and variance of a batch, into a state. Several encodes with one state add up.
/// MPSCNNBatchNormalizationStatistics.
class CNNBatchNormalizationStatistics : public CNNKernel {
public:
    explicit CNNBatchNormalizationStatistics(const MTL::Device& device);
    CNNBatchNormalizationStatistics(KeyedUnarchiver& coder, const MTL::Device& device);

    using Kernel::encode;
    /// Does not read the state: its read count stays. Pixels outside of the images count for
    /// nothing; without any pixel the state stays as it is.
    void encodeBatch(const MTL::CommandBuffer& commandBuffer, const ImageBatch& sourceImages,
                     const CNNBatchNormalizationState& batchNormalizationState);
    template <class... Arguments> void encode(Arguments&&...) const = delete;

    std::string className() const override { return "CNNBatchNormalizationStatistics"; }
    CNNBatchNormalizationStatistics copy(const MTL::Device& device) const;
    bool isStateModified() const override { return true; }
    bool appendBatchBarrier() const override { return true; }

private:
    bool writesDestination() const override { return false; }
    void validate(const mps::UnaryPass& pass) const override;
    void dispatch(const mps::UnaryPass& pass) const override;
};

/// dgamma and dbeta of a batch, into a state. Several encodes with one state add up. The neuron
/// must be the forward kernel's. Gradient and source are read as by CNNBatchNormalizationGradient.
/// MPSCNNBatchNormalizationStatisticsGradient.
class CNNBatchNormalizationStatisticsGradient : public CNNGradientKernel {
public:
    explicit CNNBatchNormalizationStatisticsGradient(
        const MTL::Device& device,
        const std::optional<NNNeuronDescriptor>& fusedNeuronDescriptor = std::nullopt);
    CNNBatchNormalizationStatisticsGradient(KeyedUnarchiver& coder, const MTL::Device& device);

    using Kernel::encode;
    const NNNeuronDescriptor& fusedNeuronDescriptor() const { return neuron_; }
    /// Reads the state once.
    void encodeBatch(const MTL::CommandBuffer& commandBuffer, const ImageBatch& sourceGradients,
                     const ImageBatch& sourceImages,
                     const CNNBatchNormalizationState& batchNormalizationState);
    template <class... Arguments> void encode(Arguments&&...) const = delete;

    std::string className() const override { return "CNNBatchNormalizationStatisticsGradient"; }
    CNNBatchNormalizationStatisticsGradient copy(const MTL::Device& device) const;
    bool isStateModified() const override { return true; }
    bool appendBatchBarrier() const override { return true; }

private:
    void archive(mps::Archive& archive) override;
    std::string forwardClassName() const override { return "CNNBatchNormalization"; }
    bool writesDestination() const override { return false; }
    bool sumsOverBatch() const override { return true; }
    void takeForwardRecord(const mps::ForwardRecord& record) override;
    void validate(const mps::BinaryPass& pass) const override;
    void dispatchSums(const mps::BinaryPass& pass) const override;

    NNNeuronDescriptor neuron_{CNNNeuronType::None};
    MTL::Buffer slopes_;
};

/// dx from E, x and a state whose dgamma and dbeta are complete. The neuron must be the forward
/// kernel's. Destination pixel clipRect.origin + q has gradient pixel primaryOffset + q and source
/// pixel secondaryOffset + q; the encodes that return the image set these from the state.
/// MPSCNNBatchNormalizationGradient.
class CNNBatchNormalizationGradient : public CNNGradientKernel {
public:
    explicit CNNBatchNormalizationGradient(
        const MTL::Device& device,
        const std::optional<NNNeuronDescriptor>& fusedNeuronDescriptor = std::nullopt);
    CNNBatchNormalizationGradient(KeyedUnarchiver& coder, const MTL::Device& device);

    const NNNeuronDescriptor& fusedNeuronDescriptor() const { return neuron_; }

    using CNNGradientKernel::encode;
    using CNNGradientKernel::encodeBatch;
    /// Each reads the state once; `encode` takes the state as the base's gradientState.
    ImageBatch encodeBatch(const MTL::CommandBuffer& commandBuffer,
                           const ImageBatch& sourceGradients, const ImageBatch& sourceImages,
                           const CNNBatchNormalizationState& batchNormalizationState);
    void encodeBatch(const MTL::CommandBuffer& commandBuffer, const ImageBatch& sourceGradients,
                     const ImageBatch& sourceImages,
                     const CNNBatchNormalizationState& batchNormalizationState,
                     const ImageBatch& destinationGradients);
    void encode(const MTL::CommandBuffer&, const Image&, const Image&, const Image&) = delete;
    Image encode(const MTL::CommandBuffer&, const Image&, const Image&) = delete;
    Image encode(const MTL::CommandBuffer&, const Image&, const Image&, State*, bool) = delete;
    void encodeBatch(const MTL::CommandBuffer&, const ImageBatch&, const ImageBatch&,
                     const ImageBatch&) = delete;
    ImageBatch encodeBatch(const MTL::CommandBuffer&, const ImageBatch&,
                           const ImageBatch&) = delete;
    ImageBatch encodeBatch(const MTL::CommandBuffer&, const ImageBatch&, const ImageBatch&,
                           StateBatch*, bool) = delete;

    std::string className() const override { return "CNNBatchNormalizationGradient"; }
    CNNBatchNormalizationGradient copy(const MTL::Device& device) const;
    bool isStateModified() const override { return true; }

private:
    void archive(mps::Archive& archive) override;
    std::string forwardClassName() const override { return "CNNBatchNormalization"; }
    void takeForwardRecord(const mps::ForwardRecord& record) override;
    void customizeDestination(const ImageBatch& sourceImages, const StateBatch& sourceStates,
                              ImageDescriptor& descriptor) override;
    void validate(const mps::BinaryPass& pass) const override;
    void dispatch(const mps::BinaryPass& pass) const override;

    NNNeuronDescriptor neuron_{CNNNeuronType::None};
    MTL::Buffer slopes_;
};

} // namespace mpsvk::MPS
