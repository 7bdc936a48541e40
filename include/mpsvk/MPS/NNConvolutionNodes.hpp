// Nodes of the convolution family. They are trainable: their gradient nodes ask the data source
// for an update.
#pragma once

#include <mpsvk/MPS/CNNBinaryConvolution.hpp>
#include <mpsvk/MPS/NNGraphNodeBases.hpp>

namespace mpsvk::MPS {

/// MPSCNNConvolutionNode. Same-size padding by default.
class CNNConvolutionNode : public NNFilterNode {
public:
    CNNConvolutionNode() = default;
    CNNConvolutionNode(const NNImageNode& source,
                       std::shared_ptr<CNNConvolutionDataSource> weights);
    NNConvolutionAccumulatorPrecisionOption accumulatorPrecision() const;
    /// Kept for ported code: sums are always formed in fp32.
    void setAccumulatorPrecision(NNConvolutionAccumulatorPrecisionOption option) const;
    /// For a transposed convolution that is to give back this node's source size.
    CNNConvolutionGradientStateNode convolutionGradientState() const;
    static bool isKindOf(const detail::ObjectImpl&);

protected:
    using NNFilterNode::NNFilterNode;
};

/// MPSCNNFullyConnectedNode. The kernel covers the whole source; valid-only padding by default.
class CNNFullyConnectedNode : public CNNConvolutionNode {
public:
    CNNFullyConnectedNode() = default;
    CNNFullyConnectedNode(const NNImageNode& source,
                          std::shared_ptr<CNNConvolutionDataSource> weights);
    static bool isKindOf(const detail::ObjectImpl&);
};

/// See CNNBinaryConvolution for the arguments. Inference only: there is no gradient node and no
/// gradient state. MPSCNNBinaryConvolutionNode.
class CNNBinaryConvolutionNode : public CNNConvolutionNode {
public:
    CNNBinaryConvolutionNode() = default;
    CNNBinaryConvolutionNode(const NNImageNode& source,
                             std::shared_ptr<CNNConvolutionDataSource> weights, float scaleValue,
                             CNNBinaryConvolutionType type, CNNBinaryConvolutionFlags flags);
    CNNBinaryConvolutionNode(const NNImageNode& source,
                             std::shared_ptr<CNNConvolutionDataSource> weights,
                             std::span<const float> outputBiasTerms,
                             std::span<const float> outputScaleTerms,
                             std::span<const float> inputBiasTerms,
                             std::span<const float> inputScaleTerms, CNNBinaryConvolutionType type,
                             CNNBinaryConvolutionFlags flags);
    CNNConvolutionGradientStateNode convolutionGradientState() const = delete;
    static bool isKindOf(const detail::ObjectImpl&);

protected:
    using CNNConvolutionNode::CNNConvolutionNode;
};

/// The kernel covers the whole source; valid-only padding by default.
/// MPSCNNBinaryFullyConnectedNode.
class CNNBinaryFullyConnectedNode : public CNNBinaryConvolutionNode {
public:
    CNNBinaryFullyConnectedNode() = default;
    CNNBinaryFullyConnectedNode(const NNImageNode& source,
                                std::shared_ptr<CNNConvolutionDataSource> weights, float scaleValue,
                                CNNBinaryConvolutionType type, CNNBinaryConvolutionFlags flags);
    CNNBinaryFullyConnectedNode(const NNImageNode& source,
                                std::shared_ptr<CNNConvolutionDataSource> weights,
                                std::span<const float> outputBiasTerms,
                                std::span<const float> outputScaleTerms,
                                std::span<const float> inputBiasTerms,
                                std::span<const float> inputScaleTerms,
                                CNNBinaryConvolutionType type, CNNBinaryConvolutionFlags flags);
    static bool isKindOf(const detail::ObjectImpl&);
};

/// MPSCNNConvolutionTransposeNode. With a convolution's gradient state the result has the size of
/// that convolution's source; without (empty) the padding policy's.
class CNNConvolutionTransposeNode : public CNNConvolutionNode {
public:
    CNNConvolutionTransposeNode() = default;
    CNNConvolutionTransposeNode(const NNImageNode& source,
                                const CNNConvolutionGradientStateNode& convolutionGradientState,
                                std::shared_ptr<CNNConvolutionDataSource> weights);
    static bool isKindOf(const detail::ObjectImpl&);
};

/// MPSCNNConvolutionGradientNode. No weights: the forward node's.
class CNNConvolutionGradientNode : public NNGradientFilterNode {
public:
    CNNConvolutionGradientNode() = default;
    CNNConvolutionGradientNode(const NNImageNode& sourceGradient, const NNImageNode& sourceImage,
                               const CNNConvolutionGradientStateNode& gradientState,
                               std::shared_ptr<CNNConvolutionDataSource> weights);
    static bool isKindOf(const detail::ObjectImpl&);

protected:
    using NNGradientFilterNode::NNGradientFilterNode;
};

/// MPSCNNFullyConnectedGradientNode.
class CNNFullyConnectedGradientNode : public CNNConvolutionGradientNode {
public:
    CNNFullyConnectedGradientNode() = default;
    CNNFullyConnectedGradientNode(const NNImageNode& sourceGradient, const NNImageNode& sourceImage,
                                  const CNNConvolutionGradientStateNode& gradientState,
                                  std::shared_ptr<CNNConvolutionDataSource> weights);
    static bool isKindOf(const detail::ObjectImpl&);
};

/// MPSCNNConvolutionTransposeGradientNode.
class CNNConvolutionTransposeGradientNode : public CNNConvolutionGradientNode {
public:
    CNNConvolutionTransposeGradientNode() = default;
    CNNConvolutionTransposeGradientNode(
        const NNImageNode& sourceGradient, const NNImageNode& sourceImage,
        const CNNConvolutionTransposeGradientStateNode& gradientState,
        std::shared_ptr<CNNConvolutionDataSource> weights);
    static bool isKindOf(const detail::ObjectImpl&);
};

} // namespace mpsvk::MPS
