// The objects behind the states of convolutions.
#pragma once

#include "mps/Pass.hpp"

#include <mpsvk/MPS/CNNConvolutionTranspose.hpp>

namespace mpsvk::MPS {

struct CNNConvolutionGradientState::Impl : NNGradientState::Impl {
    Impl(MTL::Device device, mps::ForwardRecord record, const CNNConvolutionDescriptor& descriptor,
         std::shared_ptr<const CNNConvolution> convolution);

    enum Buffers : size_t { Weights = 0, Biases = 1 };
    std::shared_ptr<const CNNConvolution> convolution;
    /// False until a gradient encode has written the buffers; the next ones add to them.
    bool accumulated = false;

    /// A transposed convolution that is given this state undoes the convolution.
    ImageDescriptor adjust(const ImageBatch&, const StateBatch&, Kernel& kernel,
                           const ImageDescriptor& suggested) const override;
};

struct CNNConvolutionTransposeGradientState::Impl : CNNConvolutionGradientState::Impl {
    Impl(MTL::Device device, mps::ForwardRecord record, const CNNConvolutionDescriptor& descriptor,
         std::shared_ptr<const CNNConvolutionTranspose> transpose,
         CNNConvolutionGradientState coupled);

    std::shared_ptr<const CNNConvolutionTranspose> transpose;
    CNNConvolutionGradientState coupled; ///< of the convolution that is undone, or empty
};

struct CNNConvolutionWeightsAndBiasesState::Impl : State::Impl {
    using State::Impl::Impl;
    enum Buffers : size_t { Weights = 0, Biases = 1 }; ///< Biases only if hasBiases
    /// The parts in use, as kernels bind them.
    void fill();
    vk::BufferSlice weightsSlice();
    vk::BufferSlice biasesSlice(); ///< empty when there are none
    /// Fills the buffers when something first uses them: an export that nobody may want.
    std::function<void()> fillBeforeUse;
    bool hasBiases = false;
    bool isWhole = false; ///< wraps buffers from end to end, which may be larger than needed
    uint64_t weightsOffset = 0, biasesOffset = 0;
    uint64_t weightsBytes = 0, biasesBytes = 0;
};

} // namespace mpsvk::MPS
