// Nodes of reshape, pad, concatenation and the Gram matrix.
#pragma once

#include <mpsvk/MPS/NNGraphNodeBases.hpp>

namespace mpsvk::MPS {

/// MPSNNReshapeNode.
class NNReshapeNode : public NNFilterNode {
public:
    NNReshapeNode() = default;
    NNReshapeNode(const NNImageNode& source, uint64_t resultWidth, uint64_t resultHeight,
                  uint64_t resultFeatureChannels);
    static bool isKindOf(const detail::ObjectImpl&);
};

/// MPSNNReshapeGradientNode.
class NNReshapeGradientNode : public NNGradientFilterNode {
public:
    NNReshapeGradientNode() = default;
    NNReshapeGradientNode(const NNImageNode& sourceGradient, const NNImageNode& sourceImage,
                          const NNGradientStateNode& gradientState);
    static bool isKindOf(const detail::ObjectImpl&);
};

/// Pads in x, y and channels, with any edge mode. MPSNNPadNode.
class NNPadNode : public NNFilterNode {
public:
    NNPadNode() = default;
    NNPadNode(const NNImageNode& source, const ImageCoordinate& paddingSizeBefore,
              const ImageCoordinate& paddingSizeAfter, ImageEdgeMode edgeMode);
    /// Of edge mode Constant; 0 at first.
    float fillValue() const;
    void setFillValue(float value) const;
    static bool isKindOf(const detail::ObjectImpl&);
};

/// MPSNNPadGradientNode.
class NNPadGradientNode : public NNGradientFilterNode {
public:
    NNPadGradientNode() = default;
    NNPadGradientNode(const NNImageNode& sourceGradient, const NNImageNode& sourceImage,
                      const NNGradientStateNode& gradientState);
    static bool isKindOf(const detail::ObjectImpl&);
};

/// The sources' channels one after the other. Each source takes a multiple of four channels of the
/// result: those that it lacks are zeros, which the result's readers see like any others. Sources
/// of different widths or heights are an InvalidArgument at encode. gradientFilters gives a node
/// for each source. MPSNNConcatenationNode.
class NNConcatenationNode : public NNFilterNode {
public:
    NNConcatenationNode() = default;
    explicit NNConcatenationNode(const std::vector<NNImageNode>& sources);
    static bool isKindOf(const detail::ObjectImpl&);
};

/// The channels that `sourceImage`, one of the concatenation's sources, has in the gradient (of a
/// source that occurs twice the first ones). MPSNNConcatenationGradientNode.
class NNConcatenationGradientNode : public NNGradientFilterNode {
public:
    NNConcatenationGradientNode() = default;
    NNConcatenationGradientNode(const NNImageNode& sourceGradient, const NNImageNode& sourceImage,
                                const NNGradientStateNode& gradientState);
    static bool isKindOf(const detail::ObjectImpl&);
};

/// Sets alpha anew for every encode; implemented by the user. MPSNNGramMatrixCallback.
class NNGramMatrixCallback {
public:
    virtual ~NNGramMatrixCallback() = default;
    /// Called just before the encode, with the first image of the batch and the one made for its
    /// result.
    virtual float alpha(Image sourceImage, Image destinationImage) const = 0;
};

/// MPSNNGramMatrixCalculationNode.
class NNGramMatrixCalculationNode : public NNFilterNode {
public:
    NNGramMatrixCalculationNode() = default;
    explicit NNGramMatrixCalculationNode(const NNImageNode& source, float alpha = 1);
    float alpha() const;
    /// Null: `alpha` is used.
    std::shared_ptr<NNGramMatrixCallback> propertyCallBack() const;
    void setPropertyCallBack(std::shared_ptr<NNGramMatrixCallback> callback) const;
    static bool isKindOf(const detail::ObjectImpl&);
};

/// The gradient state's alpha wins over this node's. MPSNNGramMatrixCalculationGradientNode.
class NNGramMatrixCalculationGradientNode : public NNGradientFilterNode {
public:
    NNGramMatrixCalculationGradientNode() = default;
    NNGramMatrixCalculationGradientNode(const NNImageNode& sourceGradient,
                                        const NNImageNode& sourceImage,
                                        const NNGradientStateNode& gradientState, float alpha = 1);
    float alpha() const;
    static bool isKindOf(const detail::ObjectImpl&);
};

} // namespace mpsvk::MPS
