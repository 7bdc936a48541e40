// Nodes of softmax and dropout.
#pragma once

#include <mpsvk/MPS/CNNDropout.hpp>
#include <mpsvk/MPS/CNNSoftMax.hpp>
#include <mpsvk/MPS/NNGraphNodeBases.hpp>

namespace mpsvk::MPS {

/// MPSCNNSoftMaxNode.
class CNNSoftMaxNode : public NNFilterNode {
public:
    CNNSoftMaxNode() = default;
    explicit CNNSoftMaxNode(const NNImageNode& source);
    static bool isKindOf(const detail::ObjectImpl&);
};

/// MPSCNNLogSoftMaxNode.
class CNNLogSoftMaxNode : public NNFilterNode {
public:
    CNNLogSoftMaxNode() = default;
    explicit CNNLogSoftMaxNode(const NNImageNode& source);
    static bool isKindOf(const detail::ObjectImpl&);
};

/// MPSCNNSoftMaxGradientNode. `sourceImage` is the forward node's result: its kernel differentiates
/// there.
class CNNSoftMaxGradientNode : public NNGradientFilterNode {
public:
    CNNSoftMaxGradientNode() = default;
    CNNSoftMaxGradientNode(const NNImageNode& sourceGradient, const NNImageNode& sourceImage,
                           const NNGradientStateNode& gradientState);
    static bool isKindOf(const detail::ObjectImpl&);
};

/// MPSCNNLogSoftMaxGradientNode. `sourceImage` is the forward node's result.
class CNNLogSoftMaxGradientNode : public NNGradientFilterNode {
public:
    CNNLogSoftMaxGradientNode() = default;
    CNNLogSoftMaxGradientNode(const NNImageNode& sourceGradient, const NNImageNode& sourceImage,
                              const NNGradientStateNode& gradientState);
    static bool isKindOf(const detail::ObjectImpl&);
};

/// Every encode draws a new mask; NNGraph::encodeCount says which. Leave the node out of graphs for
/// inference. MPSCNNDropoutNode.
class CNNDropoutNode : public NNFilterNode {
public:
    CNNDropoutNode() = default;
    /// `maskStrideInPixels`: 1 or, for one value along an axis, 0.
    explicit CNNDropoutNode(const NNImageNode& source, float keepProbability = 0.5f,
                            uint64_t seed = 0, const MTL::Size& maskStrideInPixels = {1, 1, 1});
    float keepProbability() const;
    uint64_t seed() const;
    MTL::Size maskStrideInPixels() const;
    static bool isKindOf(const detail::ObjectImpl&);
};

/// Uses the mask in the state. MPSCNNDropoutGradientNode.
class CNNDropoutGradientNode : public NNGradientFilterNode {
public:
    CNNDropoutGradientNode() = default;
    CNNDropoutGradientNode(const NNImageNode& sourceGradient, const NNImageNode& sourceImage,
                           const NNGradientStateNode& gradientState, float keepProbability,
                           uint64_t seed, const MTL::Size& maskStrideInPixels);
    float keepProbability() const;
    uint64_t seed() const;
    MTL::Size maskStrideInPixels() const;
    static bool isKindOf(const detail::ObjectImpl&);
};

} // namespace mpsvk::MPS
