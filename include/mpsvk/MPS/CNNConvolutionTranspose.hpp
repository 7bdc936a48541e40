// MPSCNNConvolutionTranspose, its gradient and its gradient state.
#pragma once

#include <mpsvk/MPS/CNNConvolution.hpp>

namespace mpsvk::MPS {

class CNNConvolutionTranspose;

/// Holds the transposed convolution's own dW, [output][y][x][input of the group], and db; added up
/// over every encode with it, as those of a convolution. MPSCNNConvolutionTransposeGradientState.
class CNNConvolutionTransposeGradientState : public CNNConvolutionGradientState {
public:
    CNNConvolutionTransposeGradientState() = default;
    std::shared_ptr<const CNNConvolutionTranspose> convolutionTranspose() const;

    static bool isKindOf(const detail::ObjectImpl&);
    struct Impl;
    Impl& impl() const;
    explicit CNNConvolutionTransposeGradientState(std::shared_ptr<Impl> impl);
};

/// Spreads the source apart, Z[s*j] = x[j] with zeros between and around, and correlates:
///
///     y[i,j,o] = f(b[o] + sum over q,p,c of W[o][q][p][c] * Z[u, v, g*(Ci/G) + c])
///
///     u = i + Ay + dy*q,  v = j + Ax + dx*p
///
/// where Ax = offset.x*sx + kernelOffsetX - floor(((kw-1)*dx+1)/2), g is the group of output
/// channel o, and i and j count from clipRect.origin. The weights are used as they are, not turned
/// by 180 degrees as other frameworks do. f is the descriptor's neuron. The edge mode must be Zero.
///
/// The encodes that return their image set offset to 0 and kernelOffset from the padding policy
/// (the default gives (n-1)*s + 1 pixels) or, given a convolution's gradient state, so as to undo
/// that convolution: the result then has the size of its source, and kernelOffset is -offset +
/// (dilated kernel even ? 1 : 0) of the convolution. A temporary state is read once by each encode
/// that is given it, or a state made with it. MPSCNNConvolutionTranspose.
class CNNConvolutionTranspose : public CNNKernel {
public:
    /// Loads the weights, Float32 or Float16. Throws InvalidArgument when the source does not load,
    /// or its arrays do not have the sizes that its descriptor says.
    CNNConvolutionTranspose(const MTL::Device& device,
                            std::shared_ptr<CNNConvolutionDataSource> weights);
    /// As CNNConvolution's.
    CNNConvolutionTranspose(KeyedUnarchiver& coder, const MTL::Device& device);
    ~CNNConvolutionTranspose() override;
    /// Copies have weights of their own.
    CNNConvolutionTranspose(const CNNConvolutionTranspose&);
    CNNConvolutionTranspose& operator=(const CNNConvolutionTranspose&);
    CNNConvolutionTranspose(CNNConvolutionTranspose&&) noexcept;
    CNNConvolutionTranspose& operator=(CNNConvolutionTranspose&&) noexcept;
    /// For another device: the weights in use, and a copy of the data source where it makes one.
    CNNConvolutionTranspose copy(const MTL::Device& device) const;

    uint64_t inputFeatureChannels() const { return descriptor_.inputFeatureChannels(); }
    uint64_t outputFeatureChannels() const { return descriptor_.outputFeatureChannels(); }
    uint64_t groups() const { return descriptor_.groups(); }
    /// Counted in pixels of the spread source.
    int64_t kernelOffsetX() const { return kernelOffsetX_; }
    void setKernelOffsetX(int64_t v) { kernelOffsetX_ = v; }
    int64_t kernelOffsetY() const { return kernelOffsetY_; }
    void setKernelOffsetY(int64_t v) { kernelOffsetY_ = v; }
    std::shared_ptr<CNNConvolutionDataSource> dataSource() const;
    const CNNConvolutionDescriptor& descriptor() const { return descriptor_; }
    NNConvolutionAccumulatorPrecisionOption accumulatorPrecisionOption() const {
        return precision_;
    }
    /// As CNNConvolution's.
    void setAccumulatorPrecisionOption(NNConvolutionAccumulatorPrecisionOption v) {
        precision_ = v;
    }

    /// The inherited encodes given a state and the destination take a CNNConvolutionGradientState
    /// (read, for its read count) or a CNNConvolutionTransposeGradientState (made by resultState).
    using CNNKernel::encode;
    using CNNKernel::encodeBatch;
    /// An empty `convolutionGradientState` leaves size and placement to the padding policy.
    Image encode(const MTL::CommandBuffer& commandBuffer, const Image& sourceImage,
                 const State& convolutionGradientState);
    Image encode(const MTL::CommandBuffer& commandBuffer, const Image& sourceImage,
                 const State& convolutionGradientState,
                 CNNConvolutionTransposeGradientState* destinationState,
                 bool destinationStateIsTemporary);
    ImageBatch encodeBatch(const MTL::CommandBuffer& commandBuffer, const ImageBatch& sourceImages,
                           const StateBatch& convolutionGradientStates);
    ImageBatch encodeBatch(const MTL::CommandBuffer& commandBuffer, const ImageBatch& sourceImages,
                           const StateBatch& convolutionGradientStates,
                           StateBatch* destinationStates, bool destinationStateIsTemporary);

    /// `sourceStates` is the convolution's gradient state, or none.
    CNNConvolutionTransposeGradientState resultState(const Image& sourceImage,
                                                     const StateBatch& sourceStates,
                                                     const Image& destinationImage) const;
    CNNConvolutionTransposeGradientState
    temporaryResultState(const MTL::CommandBuffer& commandBuffer, const Image& sourceImage,
                         const StateBatch& sourceStates, const Image& destinationImage) const;

    /// At once; no encoded work with the old weights may be in flight.
    void reloadWeightsAndBiasesFromDataSource();
    /// In the order of the command buffer: earlier encodes use the old weights, later ones the new.
    void reloadWeightsAndBiases(const MTL::CommandBuffer& commandBuffer,
                                const CNNConvolutionWeightsAndBiasesState& state);
    /// The weights in use, as fp32; the biases of a kernel without any are zeros.
    CNNConvolutionWeightsAndBiasesState
    exportWeightsAndBiases(const MTL::CommandBuffer& commandBuffer,
                           bool resultStateCanBeTemporary) const;
    /// As CNNConvolution's.
    CNNConvolutionWeightsAndBiasesState
    exportOnDemand(const MTL::CommandBuffer& commandBuffer) const;

    std::string className() const override { return "CNNConvolutionTranspose"; }
    bool isBackwards() const override { return true; }
    bool isResultStateReusedAcrossBatch() const override { return true; }

private:
    /// A kernel that shares the weights of `other`.
    CNNConvolutionTranspose(const MTL::Device& device, const CNNConvolutionTranspose& other);
    CNNConvolutionTranspose(const MTL::Device& device,
                            std::shared_ptr<CNNConvolutionDataSource> weights,
                            const CNNConvolutionDescriptor& descriptor);

    uint64_t outputChannels(uint64_t) const override { return outputFeatureChannels(); }
    void customizeDestination(const ImageBatch& sourceImages, ImageDescriptor& descriptor) override;
    StateBatch makeResultStates(const mps::StateRequest& request) const override;
    StateBatch statesRead(const StateBatch& states) const override;
    void validate(const mps::UnaryPass& pass) const override;
    void dispatch(const mps::UnaryPass& pass) const override;
    void archive(mps::Archive& archive) override;

    friend struct mps::ConvolutionAccess;
    CNNConvolutionDescriptor descriptor_;
    std::shared_ptr<mps::ConvolutionWeights> weights_;
    int64_t kernelOffsetX_ = 0, kernelOffsetY_ = 0;
    NNConvolutionAccumulatorPrecisionOption precision_ =
        NNConvolutionAccumulatorPrecisionOption::Float;
};

/// With E the gradient of the result, x the forward source and A as in CNNConvolutionTranspose,
///
///     dx[r,t,c]      = sum over q,p,o of W[o][q][p][c] * E[sy*r - Ay - dy*q, sx*t - Ax - dx*p, o]
///
///     dW[o][q][p][c] = sum over images, r, t of E[u, v, o] * x[r,t,c]
///     u = sy*r - Ay - dy*q,  v = sx*t - Ax - dx*p
///
///     db[o]          = sum over images, i, j of E[i,j,o]
///
/// E outside its image being 0. dW and db go to the gradient state, added up over every encode with
/// that state. Explicit destinations need secondaryOffset = the forward kernel's offset and
/// kernelOffset = its kernelOffset, which the encodes that return the image set themselves;
/// primaryOffset must be (0, 0). A fused neuron is not differentiated: such a descriptor is
/// refused. MPSCNNConvolutionTransposeGradient.
class CNNConvolutionTransposeGradient : public CNNGradientKernel {
public:
    CNNConvolutionTransposeGradient(const MTL::Device& device,
                                    std::shared_ptr<CNNConvolutionDataSource> weights);
    CNNConvolutionTransposeGradient(KeyedUnarchiver& coder, const MTL::Device& device);
    ~CNNConvolutionTransposeGradient() override;
    CNNConvolutionTransposeGradient(const CNNConvolutionTransposeGradient&);
    CNNConvolutionTransposeGradient& operator=(const CNNConvolutionTransposeGradient&);
    CNNConvolutionTransposeGradient(CNNConvolutionTransposeGradient&&) noexcept;
    CNNConvolutionTransposeGradient& operator=(CNNConvolutionTransposeGradient&&) noexcept;
    CNNConvolutionTransposeGradient copy(const MTL::Device& device) const;

    uint64_t sourceGradientFeatureChannels() const { return descriptor_.outputFeatureChannels(); }
    uint64_t sourceImageFeatureChannels() const { return descriptor_.inputFeatureChannels(); }
    uint64_t groups() const { return descriptor_.groups(); }
    std::shared_ptr<CNNConvolutionDataSource> dataSource() const;
    CNNConvolutionGradientOption gradientOption() const { return gradientOption_; }
    /// Data only leaves the state alone; weights only leaves the destination image alone.
    void setGradientOption(CNNConvolutionGradientOption v) { gradientOption_ = v; }

    void reloadWeightsAndBiasesFromDataSource();
    void reloadWeightsAndBiases(const MTL::CommandBuffer& commandBuffer,
                                const CNNConvolutionWeightsAndBiasesState& state);

    std::string className() const override { return "CNNConvolutionTransposeGradient"; }
    bool isBackwards() const override { return true; }
    bool isStateModified() const override { return true; }

private:
    CNNConvolutionTransposeGradient(const MTL::Device& device,
                                    std::shared_ptr<CNNConvolutionDataSource> weights,
                                    const CNNConvolutionDescriptor& descriptor);
    std::string forwardClassName() const override { return "CNNConvolutionTranspose"; }
    void takeForwardRecord(const mps::ForwardRecord& record) override;
    uint64_t outputChannels(uint64_t, uint64_t) const override {
        return sourceImageFeatureChannels();
    }
    bool writesDestination() const override;
    bool sumsOverBatch() const override;
    void validate(const mps::BinaryPass& pass) const override;
    void dispatchSums(const mps::BinaryPass& pass) const override;
    void dispatch(const mps::BinaryPass& pass) const override;
    void archive(mps::Archive& archive) override;

    friend struct mps::ConvolutionAccess;
    CNNConvolutionDescriptor descriptor_;
    std::shared_ptr<mps::ConvolutionWeights> weights_;
    CNNConvolutionGradientOption gradientOption_ = CNNConvolutionGradientOption::All;
};

} // namespace mpsvk::MPS
