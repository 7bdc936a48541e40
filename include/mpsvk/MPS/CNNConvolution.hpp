// MPSCNNConvolution, MPSCNNFullyConnected and their gradients.
#pragma once

#include <mpsvk/MPS/CNNConvolutionState.hpp>

namespace mpsvk::mps {
class ConvolutionWeights;
struct ConvolutionAccess;
} // namespace mpsvk::mps

namespace mpsvk::MPS {

enum class CNNConvolutionGradientOption : uint64_t {
    GradientWithData = 1,
    GradientWithWeightsAndBias = 2,
    All = 3,
};

/// Cross-correlation. With g the group of output channel o, and x the source,
///
///     y[i,j,o] = f(b[o] + sum over q,p,c of W[o][q][p][c] * x[r, t, g*(Ci/G) + c])
///
///     r = sy*i + ay + dy*q,  t = sx*j + ax + dx*p
///
/// where ax = offset.x - floor(((kw-1)*dx+1)/2), i and j count from clipRect.origin, and pixels
/// outside x are 0 (edge mode Zero) or the nearest pixel (Clamp). f is the descriptor's neuron.
/// MPSCNNConvolution.
class CNNConvolution : public CNNKernel {
public:
    /// Loads the weights. Throws InvalidArgument when the source does not load, or its arrays do
    /// not have the sizes that its descriptor says.
    CNNConvolution(const MTL::Device& device, std::shared_ptr<CNNConvolutionDataSource> weights);
    /// A data source that is SecureCoding was archived itself; another one's weights were, as the
    /// kernel had them then.
    CNNConvolution(KeyedUnarchiver& coder, const MTL::Device& device);
    ~CNNConvolution() override;
    /// Copies have weights of their own.
    CNNConvolution(const CNNConvolution&);
    CNNConvolution& operator=(const CNNConvolution&);
    CNNConvolution(CNNConvolution&&) noexcept;
    CNNConvolution& operator=(CNNConvolution&&) noexcept;
    /// For another device: the weights in use, and a copy of the data source where it makes one.
    CNNConvolution copy(const MTL::Device& device) const;

    uint64_t inputFeatureChannels() const { return descriptor_.inputFeatureChannels(); }
    uint64_t outputFeatureChannels() const { return descriptor_.outputFeatureChannels(); }
    uint64_t groups() const { return descriptor_.groups(); }
    uint64_t subPixelScaleFactor() const { return descriptor_.subPixelScaleFactor(); }
    uint64_t channelMultiplier() const { return descriptor_.channelMultiplier(); }
    std::shared_ptr<CNNConvolutionDataSource> dataSource() const;
    const NNNeuronDescriptor& fusedNeuronDescriptor() const {
        return descriptor_.fusedNeuronDescriptor();
    }
    const CNNConvolutionDescriptor& descriptor() const { return descriptor_; }
    NNConvolutionAccumulatorPrecisionOption accumulatorPrecisionOption() const {
        return precision_;
    }
    /// Kept for ported code: sums are always formed in fp32. Half is refused by the encodes when
    /// the weights are kept as fp32.
    void setAccumulatorPrecisionOption(NNConvolutionAccumulatorPrecisionOption v) {
        precision_ = v;
    }

    /// At once; no encoded work with the old weights may be in flight.
    void reloadWeightsAndBiasesFromDataSource();
    /// In the order of the command buffer: earlier encodes use the old weights, later ones the new.
    void reloadWeightsAndBiases(const MTL::CommandBuffer& commandBuffer,
                                const CNNConvolutionWeightsAndBiasesState& state);
    /// The weights in use, as fp32; the biases of a convolution without any are zeros.
    CNNConvolutionWeightsAndBiasesState
    exportWeightsAndBiases(const MTL::CommandBuffer& commandBuffer,
                           bool resultStateCanBeTemporary) const;
    /// The same, but the export is encoded only when the state's buffers are first asked for or
    /// used by an encode; that must be before the next reload. For updates, which may ignore the
    /// state.
    CNNConvolutionWeightsAndBiasesState
    exportOnDemand(const MTL::CommandBuffer& commandBuffer) const;

    CNNConvolutionGradientState resultState(const Image& sourceImage,
                                            const StateBatch& sourceStates,
                                            const Image& destinationImage) const;
    CNNConvolutionGradientState temporaryResultState(const MTL::CommandBuffer& commandBuffer,
                                                     const Image& sourceImage,
                                                     const StateBatch& sourceStates,
                                                     const Image& destinationImage) const;

    std::string className() const override { return "CNNConvolution"; }
    bool isResultStateReusedAcrossBatch() const override { return true; }

protected:
    CNNConvolution(const MTL::Device& device, std::shared_ptr<CNNConvolutionDataSource> weights,
                   const CNNConvolutionDescriptor& descriptor, const char* className);
    uint64_t outputChannels(uint64_t sourceChannels) const override;
    void customizeDestination(const ImageBatch& sourceImages, ImageDescriptor& descriptor) override;
    StateBatch makeResultStates(const mps::StateRequest& request) const override;
    void validate(const mps::UnaryPass& pass) const override;
    void dispatch(const mps::UnaryPass& pass) const override;
    void archive(mps::Archive& archive) override;
    void moveTo(const MTL::Device& device);
    /// The window is the source, whatever the offset says.
    virtual bool isFullyConnected() const { return false; }
    /// A kernel that shares the weights of `other`.
    CNNConvolution(const MTL::Device& device, const CNNConvolution& other);
    virtual std::shared_ptr<const CNNConvolution> sharing() const;

private:
    friend struct mps::ConvolutionAccess;

    CNNConvolutionDescriptor descriptor_;
    std::shared_ptr<mps::ConvolutionWeights> weights_;
    NNConvolutionAccumulatorPrecisionOption precision_ =
        NNConvolutionAccumulatorPrecisionOption::Float;
};

/// The whole source is one window: kernel size = source size, stride 1, one group, result 1x1.
/// MPSCNNFullyConnected.
class CNNFullyConnected : public CNNConvolution {
public:
    CNNFullyConnected(const MTL::Device& device, std::shared_ptr<CNNConvolutionDataSource> weights);
    CNNFullyConnected(KeyedUnarchiver& coder, const MTL::Device& device);
    CNNFullyConnected copy(const MTL::Device& device) const;
    std::string className() const override { return "CNNFullyConnected"; }

private:
    CNNFullyConnected(const MTL::Device& device, const CNNFullyConnected& other)
        : CNNConvolution(device, other) {}
    std::shared_ptr<const CNNConvolution> sharing() const override;
    bool isFullyConnected() const override { return true; }
    void validate(const mps::UnaryPass& pass) const override;
};

/// With E the gradient of the result, and a as in CNNConvolution,
///
///     dx[r,t,c]      = sum of W[o][q][p][c] * E[i,j,o] over all taps that read pixel (r, t)
///
///     dW[o][q][p][c] = sum over images, i, j of E[i,j,o] * x[r, t, c]
///
///     db[o]          = sum over images, i, j of E[i,j,o]
///
/// dW and db go to the gradient state, added up over every encode with that state. Explicit
/// destinations need kernelOffset = -offset + (dilated kernel even ? 1 : 0) and secondaryOffset =
/// offset - floor(dilated kernel / 2), which the encodes that return the image set themselves.
/// The fused neuron of a descriptor is not differentiated: such a descriptor is refused.
/// MPSCNNConvolutionGradient.
class CNNConvolutionGradient : public CNNGradientKernel {
public:
    CNNConvolutionGradient(const MTL::Device& device,
                           std::shared_ptr<CNNConvolutionDataSource> weights);
    CNNConvolutionGradient(KeyedUnarchiver& coder, const MTL::Device& device);
    ~CNNConvolutionGradient() override;
    CNNConvolutionGradient(const CNNConvolutionGradient&);
    CNNConvolutionGradient& operator=(const CNNConvolutionGradient&);
    CNNConvolutionGradient(CNNConvolutionGradient&&) noexcept;
    CNNConvolutionGradient& operator=(CNNConvolutionGradient&&) noexcept;
    CNNConvolutionGradient copy(const MTL::Device& device) const;

    uint64_t sourceGradientFeatureChannels() const { return descriptor_.outputFeatureChannels(); }
    uint64_t sourceImageFeatureChannels() const { return descriptor_.inputFeatureChannels(); }
    uint64_t groups() const { return descriptor_.groups(); }
    uint64_t channelMultiplier() const { return descriptor_.channelMultiplier(); }
    std::shared_ptr<CNNConvolutionDataSource> dataSource() const;
    CNNConvolutionGradientOption gradientOption() const { return gradientOption_; }
    /// Data only leaves the state alone; weights only leaves the destination image alone.
    void setGradientOption(CNNConvolutionGradientOption v) { gradientOption_ = v; }
    /// Kept for ported code, where it does nothing, too: an archive always has what the kernel
    /// needs.
    bool serializeWeightsAndBiases() const { return serializeWeightsAndBiases_; }
    void setSerializeWeightsAndBiases(bool v) { serializeWeightsAndBiases_ = v; }

    void reloadWeightsAndBiasesFromDataSource();
    void reloadWeightsAndBiases(const MTL::CommandBuffer& commandBuffer,
                                const CNNConvolutionWeightsAndBiasesState& state);

    std::string className() const override { return "CNNConvolutionGradient"; }
    bool isBackwards() const override { return true; }
    bool isStateModified() const override { return true; }

protected:
    CNNConvolutionGradient(const MTL::Device& device,
                           std::shared_ptr<CNNConvolutionDataSource> weights,
                           const CNNConvolutionDescriptor& descriptor, const char* className);
    std::string forwardClassName() const override { return "CNNConvolution"; }
    void takeForwardRecord(const mps::ForwardRecord& record) override;
    uint64_t outputChannels(uint64_t primaryChannels, uint64_t secondaryChannels) const override;
    bool writesDestination() const override;
    void validate(const mps::BinaryPass& pass) const override;
    bool sumsOverBatch() const override;
    void dispatchSums(const mps::BinaryPass& pass) const override;
    void dispatch(const mps::BinaryPass& pass) const override;
    void archive(mps::Archive& archive) override;
    void moveTo(const MTL::Device& device);
    virtual bool isFullyConnected() const { return false; }

private:
    friend struct mps::ConvolutionAccess;

    CNNConvolutionDescriptor descriptor_;
    std::shared_ptr<mps::ConvolutionWeights> weights_;
    CNNConvolutionGradientOption gradientOption_ = CNNConvolutionGradientOption::All;
    bool serializeWeightsAndBiases_ = false;
};

/// The gradient of CNNFullyConnected: CNNConvolutionGradient with one window, the whole source,
/// whose result has one pixel. Throws what that one throws. MPSCNNFullyConnectedGradient.
class CNNFullyConnectedGradient : public CNNConvolutionGradient {
public:
    CNNFullyConnectedGradient(const MTL::Device& device,
                              std::shared_ptr<CNNConvolutionDataSource> weights);
    CNNFullyConnectedGradient(KeyedUnarchiver& coder, const MTL::Device& device);
    CNNFullyConnectedGradient copy(const MTL::Device& device) const;
    std::string className() const override { return "CNNFullyConnectedGradient"; }

private:
    bool isFullyConnected() const override { return true; }
    bool sumsFollow() const override { return true; }
    void validate(const mps::BinaryPass& pass) const override;
    std::string forwardClassName() const override { return "CNNFullyConnected"; }
};

} // namespace mpsvk::MPS
