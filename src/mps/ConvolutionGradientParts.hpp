// Gradients of weights and biases as sums over parts of the pixels, which are then added in order.
#pragma once

#include "mps/CNNConvolutionState.hpp"
#include "mps/ConvolutionWeights.hpp"

namespace mpsvk::mps {

/// Workgroups that are enough work: so many for each multiprocessor, or of a CPU in all.
uint64_t groupsWanted(Encoder& encoder, uint64_t each, uint64_t ofCpu);

/// Parts of the pixels: enough workgroups for the device, each with enough to do.
struct Split {
    uint32_t parts, pixels;
    Split(uint64_t all, uint64_t wanted, uint64_t least, uint64_t multiple);
};

/// Adds up the partial sums of `elements` texels.
void dispatchReduce(Encoder& encoder, const char* shader,
                    const glsl::CNNConvolutionWeightsParameters& p, uint64_t elements,
                    const vk::BufferSlice& partials, MPS::CNNConvolutionGradientState::Impl& state);

/// db by dispatches of its own.
class BiasGradient {
public:
    /// Sums over parts of the pixels.
    BiasGradient(Encoder& encoder, const glsl::ImageView& view, uint32_t images,
                 const ImageRun& gradient, MPS::CNNConvolutionGradientState::Impl& state);
    /// Adds the parts up.
    void finish();

private:
    Encoder& encoder_;
    MPS::CNNConvolutionGradientState::Impl& state_;
    glsl::CNNConvolutionBiasParameters p_{};
    std::shared_ptr<const vk::BufferSlice> partials_;
};

} // namespace mpsvk::mps
