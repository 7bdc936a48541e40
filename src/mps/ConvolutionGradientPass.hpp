// What the gradient kernels of convolutions have in common: their checks, and the gradient of
// weights and biases.
#pragma once

#include "mps/CNNConvolutionState.hpp"
#include "mps/ConvolutionWeights.hpp"

namespace mpsvk::mps {

/// The state is of a convolution with such weights and such a window.
void checkState(const std::string& who, const char* role,
                const MPS::CNNConvolutionGradientState& state,
                const MPS::CNNConvolutionDescriptor& d);
/// Channels for both passes; for the weights also the size of the source, and one gradient state of
/// the right kind and size.
void checkGradient(const std::string& who, const BinaryPass& pass,
                   const MPS::CNNConvolutionDescriptor& d, bool ofWeights);

/// Adds dW and db to the state, or writes them if it is the first to do so. `p` brings the views of
/// the incoming gradient and the forward source, the number of images, stride, dilation, origin and
/// edges.
void dispatchWeightsGradient(Encoder& encoder, const ConvolutionShape& shape,
                             glsl::CNNConvolutionWeightsParameters p, const ImageRun& gradient,
                             const ImageRun& source, MPS::CNNConvolutionGradientState::Impl& state);
/// The same for a transposed convolution: the windows lie on the incoming gradient.
void dispatchTransposeWeightsGradient(Encoder& encoder, const ConvolutionShape& shape,
                                      glsl::CNNConvolutionWeightsParameters p,
                                      const ImageRun& gradient, const ImageRun& source,
                                      MPS::CNNConvolutionGradientState::Impl& state);

} // namespace mpsvk::mps
