// The states of convolutions: gradients of weights and biases, and weights and biases themselves.
#pragma once

#include <mpsvk/MPS/CNNConvolutionDescriptor.hpp>

namespace mpsvk::MPS {

class CNNConvolution;

/// One per batch: after the gradient encode it holds the sum of the gradients over every image that
/// was encoded with it. MPSCNNConvolutionGradientState.
class CNNConvolutionGradientState : public NNGradientState {
public:
    CNNConvolutionGradientState() = default;
    /// fp32, [output][y][x][input of the group] as the data source's weights.
    MTL::Buffer gradientForWeights() const;
    /// fp32, one per output channel, also for a convolution without biases.
    MTL::Buffer gradientForBiases() const;
    CNNConvolutionWeightsLayout gradientForWeightsLayout() const {
        return CNNConvolutionWeightsLayout::OHWI;
    }
    /// The forward kernel (of a transposed convolution: the convolution that it undoes, or null).
    std::shared_ptr<const CNNConvolution> convolution() const;
    /// Size of the forward source image (MPSImageSizeEncodingState).
    uint64_t sourceWidth() const;
    uint64_t sourceHeight() const;

    static bool isKindOf(const detail::ObjectImpl&);
    struct Impl;
    Impl& impl() const;
    explicit CNNConvolutionGradientState(std::shared_ptr<Impl> impl);
};

/// A state that knows an image's size: `state.as<ImageSizeEncodingState>()` of a convolution's
/// gradient state. MPSImageSizeEncodingState.
class ImageSizeEncodingState : public State {
public:
    ImageSizeEncodingState() = default;
    uint64_t sourceWidth() const { return as<CNNConvolutionGradientState>().sourceWidth(); }
    uint64_t sourceHeight() const { return as<CNNConvolutionGradientState>().sourceHeight(); }
    static bool isKindOf(const detail::ObjectImpl& object) {
        return CNNConvolutionGradientState::isKindOf(object);
    }
};

/// fp32 weights and biases in buffers that kernels load from and optimizers write to.
/// MPSCNNConvolutionWeightsAndBiasesState.
class CNNConvolutionWeightsAndBiasesState : public State {
public:
    CNNConvolutionWeightsAndBiasesState() = default;
    /// Wraps buffers; `biases` may be empty.
    CNNConvolutionWeightsAndBiasesState(const MTL::Buffer& weights, const MTL::Buffer& biases);
    /// Allocates both, zero-filled.
    CNNConvolutionWeightsAndBiasesState(const MTL::Device& device,
                                        const CNNConvolutionDescriptor& descriptor);
    /// Parts of buffers, offsets in bytes (multiples of 4). Throws InvalidArgument when they are
    /// too small for the descriptor.
    CNNConvolutionWeightsAndBiasesState(const MTL::Buffer& weights, uint64_t weightsOffset,
                                        const MTL::Buffer& biases, uint64_t biasesOffset,
                                        const CNNConvolutionDescriptor& descriptor);
    static CNNConvolutionWeightsAndBiasesState
    temporaryCNNConvolutionWeightsAndBiasesState(const MTL::CommandBuffer& commandBuffer,
                                                 const CNNConvolutionDescriptor& descriptor);

    MTL::Buffer weights() const;
    MTL::Buffer biases() const; ///< empty when there are none
    uint64_t weightsOffset() const;
    uint64_t biasesOffset() const;

    static bool isKindOf(const detail::ObjectImpl&);
    struct Impl;
    Impl& impl() const;
    explicit CNNConvolutionWeightsAndBiasesState(std::shared_ptr<Impl> impl);
};

} // namespace mpsvk::MPS
