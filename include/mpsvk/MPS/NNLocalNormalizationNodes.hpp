// Nodes of the spatial, the local contrast and the cross-channel normalization.
//
// Properties may be set until a graph is made. The gradient node that a forward node makes has the
// forward node's values of that moment; one made by hand has to be given them.
#pragma once

#include <mpsvk/MPS/CNNNormalization.hpp>
#include <mpsvk/MPS/NNGraphNodeBases.hpp>

namespace mpsvk::MPS {

/// MPSCNNNormalizationNode; abstract. alpha 1, beta 5 and delta 1 at first, but for the local
/// contrast.
class CNNNormalizationNode : public NNFilterNode {
public:
    CNNNormalizationNode() = default;
    float alpha() const;
    void setAlpha(float value) const;
    float beta() const;
    void setBeta(float value) const;
    float delta() const;
    void setDelta(float value) const;
    static bool isKindOf(const detail::ObjectImpl&);

protected:
    using NNFilterNode::NNFilterNode;
};

/// MPSCNNSpatialNormalizationNode.
class CNNSpatialNormalizationNode : public CNNNormalizationNode {
public:
    CNNSpatialNormalizationNode() = default;
    explicit CNNSpatialNormalizationNode(const NNImageNode& source, uint64_t kernelSize = 5);
    uint64_t kernelWidth() const;
    void setKernelWidth(uint64_t value) const;
    uint64_t kernelHeight() const;
    void setKernelHeight(uint64_t value) const;
    static bool isKindOf(const detail::ObjectImpl&);
};

/// alpha 1, beta 0.5, delta 1/1024, p0 1, pm 0, ps 1 at first.
/// MPSCNNLocalContrastNormalizationNode.
class CNNLocalContrastNormalizationNode : public CNNNormalizationNode {
public:
    CNNLocalContrastNormalizationNode() = default;
    explicit CNNLocalContrastNormalizationNode(const NNImageNode& source, uint64_t kernelSize = 5);
    float p0() const;
    void setP0(float value) const;
    float pm() const;
    void setPm(float value) const;
    float ps() const;
    void setPs(float value) const;
    uint64_t kernelWidth() const;
    void setKernelWidth(uint64_t value) const;
    uint64_t kernelHeight() const;
    void setKernelHeight(uint64_t value) const;
    static bool isKindOf(const detail::ObjectImpl&);
};

/// MPSCNNCrossChannelNormalizationNode.
class CNNCrossChannelNormalizationNode : public CNNNormalizationNode {
public:
    CNNCrossChannelNormalizationNode() = default;
    explicit CNNCrossChannelNormalizationNode(const NNImageNode& source, uint64_t kernelSize = 5);
    uint64_t kernelSizeInFeatureChannels() const;
    void setKernelSizeInFeatureChannels(uint64_t value) const;
    static bool isKindOf(const detail::ObjectImpl&);
};

/// MPSCNNSpatialNormalizationGradientNode.
class CNNSpatialNormalizationGradientNode : public NNGradientFilterNode {
public:
    CNNSpatialNormalizationGradientNode() = default;
    CNNSpatialNormalizationGradientNode(const NNImageNode& sourceGradient,
                                        const NNImageNode& sourceImage,
                                        const NNGradientStateNode& gradientState,
                                        uint64_t kernelSize);
    float alpha() const;
    void setAlpha(float value) const;
    float beta() const;
    void setBeta(float value) const;
    float delta() const;
    void setDelta(float value) const;
    uint64_t kernelWidth() const;
    void setKernelWidth(uint64_t value) const;
    uint64_t kernelHeight() const;
    void setKernelHeight(uint64_t value) const;
    static bool isKindOf(const detail::ObjectImpl&);
};

/// alpha is 0 at first in a node made by hand. MPSCNNLocalContrastNormalizationGradientNode.
class CNNLocalContrastNormalizationGradientNode : public NNGradientFilterNode {
public:
    CNNLocalContrastNormalizationGradientNode() = default;
    CNNLocalContrastNormalizationGradientNode(const NNImageNode& sourceGradient,
                                              const NNImageNode& sourceImage,
                                              const NNGradientStateNode& gradientState,
                                              uint64_t kernelWidth, uint64_t kernelHeight);
    float alpha() const;
    void setAlpha(float value) const;
    float beta() const;
    void setBeta(float value) const;
    float delta() const;
    void setDelta(float value) const;
    float p0() const;
    void setP0(float value) const;
    float pm() const;
    void setPm(float value) const;
    float ps() const;
    void setPs(float value) const;
    uint64_t kernelWidth() const;
    void setKernelWidth(uint64_t value) const;
    uint64_t kernelHeight() const;
    void setKernelHeight(uint64_t value) const;
    static bool isKindOf(const detail::ObjectImpl&);
};

/// alpha, beta and delta come with the gradient state. MPSCNNCrossChannelNormalizationGradientNode.
class CNNCrossChannelNormalizationGradientNode : public NNGradientFilterNode {
public:
    CNNCrossChannelNormalizationGradientNode() = default;
    CNNCrossChannelNormalizationGradientNode(const NNImageNode& sourceGradient,
                                             const NNImageNode& sourceImage,
                                             const NNGradientStateNode& gradientState,
                                             uint64_t kernelSize);
    uint64_t kernelSize() const;
    static bool isKindOf(const detail::ObjectImpl&);
};

} // namespace mpsvk::MPS
