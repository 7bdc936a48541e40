// What the forward and the gradient kernel of a convolution have in common: checks of what they are
// made from, and dispatches of matrix products.
#pragma once

#include "mps/ConvolutionWeights.hpp"

namespace mpsvk::mps {

using ConvolutionSource = std::shared_ptr<MPS::CNNConvolutionDataSource>;

/// Loads the source to ask for its descriptor. Throws InvalidArgument.
MPS::CNNConvolutionDescriptor descriptorOf(const char* className, const ConvolutionSource& source);
/// The descriptor itself; throws InvalidArgument when no kernel can be made of it.
const MPS::CNNConvolutionDescriptor& checkedDescriptor(const std::string& who,
                                                       const MPS::CNNConvolutionDescriptor& d);
MPS::KernelWindow windowOf(const MPS::CNNConvolutionDescriptor& d);
/// True when a fully connected layer can be a 1x1 convolution over all elements of its source.
bool hasWholeTexels(const MPS::CNNConvolutionDescriptor& d);
/// Loads weights from a state, in the order of the command buffer.
void reloadWeights(const std::string& who, const MPS::CNNConvolutionDescriptor& d,
                   ConvolutionWeights& weights, const MTL::CommandBuffer& commands,
                   const MPS::CNNConvolutionWeightsAndBiasesState& state);
/// The source's copy for another device, or the source itself.
ConvolutionSource sourceFor(const ConvolutionSource& source, const MTL::Device& device);

/// What the forward and the data-gradient shaders share.
glsl::CNNConvolutionParameters commonParameters(const ConvolutionWeights::Layout& layout,
                                                const MPS::KernelWindow& w);
/// One pixel whose channels are all elements of the image, for a run of whole images.
glsl::ImageView flatView(const ImageRun& run, uint64_t channels);
bool canBeFlat(const ImageRun& run, uint64_t channelOffset, uint64_t channels);
void dispatchProduct(Encoder& encoder, const std::string& shader,
                     const ConvolutionWeights::Layout& layout,
                     const glsl::CNNConvolutionParameters& p, uint64_t rows, uint32_t phases,
                     const ImageRun& source, const ImageRun& destination, uint32_t neuron,
                     bool clampEdges);

} // namespace mpsvk::mps
