// Nodes of losses, and of the ones that a backward pass may start from.
#pragma once

#include <mpsvk/MPS/CNNYOLOLoss.hpp>
#include <mpsvk/MPS/NNGraphNodeBases.hpp>

namespace mpsvk::MPS {

/// The result image is the gradient of the loss with respect to the source, for trainingGraph to go
/// on from; the loss itself comes in the labels' lossImage. MPSCNNLossNode.
class CNNLossNode : public NNFilterNode {
public:
    CNNLossNode() = default;
    CNNLossNode(const NNImageNode& source, const CNNLossDescriptor& lossDescriptor);
    /// A source state of the graph: CNNLossLabels, one per image, are passed for it.
    NNLabelsNode inputLabels() const;
    static bool isKindOf(const detail::ObjectImpl&);
};

/// The same with the losses of a detection grid. MPSCNNYOLOLossNode.
class CNNYOLOLossNode : public NNFilterNode {
public:
    CNNYOLOLossNode() = default;
    CNNYOLOLossNode(const NNImageNode& source, const CNNYOLOLossDescriptor& lossDescriptor);
    NNLabelsNode inputLabels() const;
    static bool isKindOf(const detail::ObjectImpl&);
};

/// Implemented by the user, beside SecureCoding if graphs with it are to be archived.
/// MPSNNLossCallback.
class NNLossCallback {
public:
    virtual ~NNLossCallback() = default;
    /// The weight that a loss, or its gradient, has in this encode: called just before it is
    /// encoded, of a batch with the first image.
    virtual float scalarWeight(Image sourceImage, Image destinationImage) = 0;
};

/// The result image is the loss; labels and weights are images. Several losses may be added up, and
/// differentiated from an NNInitialGradientNode on. MPSNNForwardLossNode.
class NNForwardLossNode : public NNFilterNode {
public:
    NNForwardLossNode() = default;
    NNForwardLossNode(const NNImageNode& source, const NNImageNode& labels,
                      const std::optional<NNImageNode>& weights,
                      const CNNLossDescriptor& lossDescriptor);
    NNForwardLossNode(const NNImageNode& source, const NNImageNode& labels,
                      const CNNLossDescriptor& lossDescriptor);
    /// [predictions, labels] or [predictions, labels, weights].
    NNForwardLossNode(const std::vector<NNImageNode>& sources,
                      const CNNLossDescriptor& lossDescriptor);

    CNNLossType lossType() const;
    CNNReductionType reductionType() const;
    uint64_t numberOfClasses() const;
    bool reduceAcrossBatch() const;
    float weight() const;
    float labelSmoothing() const;
    float epsilon() const;
    float delta() const;
    /// Asked for the weight in every encode; null at first. The gradients take that weight too.
    std::shared_ptr<NNLossCallback> propertyCallBack() const;
    void setPropertyCallBack(std::shared_ptr<NNLossCallback> callback) const;

    /// With respect to the predictions; gradientFilters has the one for the labels too.
    NNFilterNode gradientFilter(const NNImageNode& source) const;
    NNFilterNode gradientFilter(const std::vector<NNImageNode>& sources) const;
    static bool isKindOf(const detail::ObjectImpl&);
};

/// MPSNNLossGradientNode.
class NNLossGradientNode : public NNGradientFilterNode {
public:
    NNLossGradientNode() = default;
    NNLossGradientNode(const NNImageNode& sourceGradient, const NNImageNode& sourceImage,
                       const NNImageNode& labels, const std::optional<NNImageNode>& weights,
                       const std::optional<NNGradientStateNode>& gradientState,
                       const CNNLossDescriptor& lossDescriptor, bool isLabelsGradientFilter);
    NNLossGradientNode(const NNImageNode& sourceGradient, const NNImageNode& sourceImage,
                       const NNImageNode& labels,
                       const std::optional<NNGradientStateNode>& gradientState,
                       const CNNLossDescriptor& lossDescriptor, bool isLabelsGradientFilter);
    /// [gradient, predictions, labels] or [gradient, predictions, labels, weights].
    NNLossGradientNode(const std::vector<NNImageNode>& sources,
                       const std::optional<NNGradientStateNode>& gradientState,
                       const CNNLossDescriptor& lossDescriptor, bool isLabelsGradientFilter);

    bool isLabelsGradientFilter() const;
    CNNLossType lossType() const;
    CNNReductionType reductionType() const;
    uint64_t numberOfClasses() const;
    bool reduceAcrossBatch() const;
    float weight() const;
    float labelSmoothing() const;
    float epsilon() const;
    float delta() const;
    /// Asked for the weight in every encode, instead of the forward node's; null at first.
    std::shared_ptr<NNLossCallback> propertyCallBack() const;
    void setPropertyCallBack(std::shared_ptr<NNLossCallback> callback) const;
    static bool isKindOf(const detail::ObjectImpl&);
};

/// An image of ones of the source's size: trainingGraph of this node differentiates its source.
/// MPSNNInitialGradientNode.
class NNInitialGradientNode : public NNFilterNode {
public:
    NNInitialGradientNode() = default;
    explicit NNInitialGradientNode(const NNImageNode& source);
    static bool isKindOf(const detail::ObjectImpl&);
};

} // namespace mpsvk::MPS
