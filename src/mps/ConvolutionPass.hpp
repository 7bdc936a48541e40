// What the kernels of convolutions have in common: checks of what they are made from, weights in
// and out, and dispatches of matrix products.
#pragma once

#include "mps/ConvolutionWeights.hpp"

namespace mpsvk::mps {

/// Loads the source to ask for its descriptor. Throws InvalidArgument.
MPS::CNNConvolutionDescriptor descriptorOf(const char* className, const ConvolutionSource& source);
/// The descriptor itself; throws InvalidArgument when no kernel can be made of it.
const MPS::CNNConvolutionDescriptor& checkedDescriptor(const std::string& who,
                                                       const MPS::CNNConvolutionDescriptor& d);
/// Refuses a sub-pixel convolution and a fused neuron or batch normalization.
void checkTrainable(const std::string& who, const MPS::CNNConvolutionDescriptor& d);
MPS::KernelWindow windowOf(const MPS::CNNConvolutionDescriptor& d);
/// True when a fully connected layer can be a 1x1 convolution over all elements of its source.
bool hasWholeTexels(const MPS::CNNConvolutionDescriptor& d);
/// The source offers the channels that the kernel reads.
void checkInputs(const std::string& who, const UnaryPass& pass, uint64_t channelOffset,
                 uint64_t inputs);

/// The same as checkWindowReach of windows that start at offset * stride + kernelOffset of what
/// they are spread over.
void checkSpreadReach(const std::string& who, const MPS::Offset& offset,
                      const MPS::Offset& kernelOffset, const MPS::KernelWindow& window,
                      uint64_t windowsX, uint64_t windowsY);

/// Weights kept as fp32 ask for sums in fp32.
void checkPrecision(const std::string& who, MPS::NNConvolutionAccumulatorPrecisionOption precision,
                    const ConvolutionWeights& weights);

/// Loads weights from a state, in the order of the command buffer.
void reloadWeights(const Subject& who, const MPS::CNNConvolutionDescriptor& d,
                   ConvolutionWeights& weights, const MTL::CommandBuffer& commands,
                   const MPS::CNNConvolutionWeightsAndBiasesState& state);
/// The weights in use; `temporary` makes the state one of the command buffer.
MPS::CNNConvolutionWeightsAndBiasesState exportWeights(const std::string& who,
                                                       const MPS::CNNConvolutionDescriptor& d,
                                                       const ConvolutionWeights& weights,
                                                       const MTL::CommandBuffer& commands,
                                                       bool temporary);
/// A temporary state that is filled when something first uses it.
MPS::CNNConvolutionWeightsAndBiasesState
exportWeightsOnDemand(const std::string& who, const MPS::CNNConvolutionDescriptor& d,
                      std::shared_ptr<const ConvolutionWeights> weights,
                      const MTL::CommandBuffer& commands);
/// What the forward and the data-gradient shaders share.
glsl::CNNConvolutionParameters commonParameters(const ConvolutionWeights::Layout& layout,
                                                const MPS::KernelWindow& w);
void setClip(glsl::CNNConvolutionParameters& p, const Clip& clip);
/// Bias and neuron of a forward kernel; returns the neuron's constant.
uint32_t setFused(glsl::CNNConvolutionParameters& p, const MPS::CNNConvolutionDescriptor& d,
                  const ConvolutionWeights& weights);
/// Where tap 0 of window 0 of a transposed convolution's shaders lies.
int transposeOrigin(int64_t offset, uint64_t stride, int64_t kernelOffset, uint64_t taps,
                    uint64_t dilation);
/// One pixel whose channels are all elements of the image, for a run of whole images.
glsl::ImageView flatView(const ImageRun& run, uint64_t channels);
bool canBeFlat(const ImageRun& run, uint64_t channelOffset, uint64_t channels);

/// A convolution: each pixel of the result reads a window of the source.
void dispatchGather(Encoder& encoder, const ConvolutionWeights& weights,
                    ConvolutionWeights::Layout& layout, const glsl::CNNConvolutionParameters& p,
                    const ImageRun& source, const ImageRun& destination, uint32_t neuron);
/// Its adjoint in the image: each pixel of the source is spread over a window of the result. With
/// the weights of a transposed convolution it is that one.
void dispatchSpread(Encoder& encoder, const ConvolutionWeights& weights,
                    ConvolutionWeights::Layout& layout, const glsl::CNNConvolutionParameters& p,
                    const ImageRun& source, const ImageRun& destination, uint32_t neuron);

} // namespace mpsvk::mps
