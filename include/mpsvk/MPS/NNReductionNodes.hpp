// Nodes of the reductions. The result has the size that the reduction gives, whatever the padding
// policy says.
#pragma once

#include <mpsvk/MPS/NNGraphNodeBases.hpp>
#include <mpsvk/MPS/NNReduce.hpp>

namespace mpsvk::MPS {

/// MPSNNUnaryReductionNode; abstract.
class NNUnaryReductionNode : public NNFilterNode {
public:
    NNUnaryReductionNode() = default;
    /// What is reduced of the source: all of it at first.
    MTL::Region clipRectSource() const;
    void setClipRectSource(const MTL::Region& rect) const;
    static bool isKindOf(const detail::ObjectImpl&);

protected:
    using NNFilterNode::NNFilterNode;
};

/// NNReduceRowMin. MPSNNReductionRowMinNode.
class NNReductionRowMinNode : public NNUnaryReductionNode {
public:
    NNReductionRowMinNode() = default;
    explicit NNReductionRowMinNode(const NNImageNode& source);
    static bool isKindOf(const detail::ObjectImpl&);
};

/// NNReduceColumnMin. MPSNNReductionColumnMinNode.
class NNReductionColumnMinNode : public NNUnaryReductionNode {
public:
    NNReductionColumnMinNode() = default;
    explicit NNReductionColumnMinNode(const NNImageNode& source);
    static bool isKindOf(const detail::ObjectImpl&);
};

/// NNReduceFeatureChannelsMin. MPSNNReductionFeatureChannelsMinNode.
class NNReductionFeatureChannelsMinNode : public NNUnaryReductionNode {
public:
    NNReductionFeatureChannelsMinNode() = default;
    explicit NNReductionFeatureChannelsMinNode(const NNImageNode& source);
    static bool isKindOf(const detail::ObjectImpl&);
};

/// NNReduceRowMax. MPSNNReductionRowMaxNode.
class NNReductionRowMaxNode : public NNUnaryReductionNode {
public:
    NNReductionRowMaxNode() = default;
    explicit NNReductionRowMaxNode(const NNImageNode& source);
    static bool isKindOf(const detail::ObjectImpl&);
};

/// NNReduceColumnMax. MPSNNReductionColumnMaxNode.
class NNReductionColumnMaxNode : public NNUnaryReductionNode {
public:
    NNReductionColumnMaxNode() = default;
    explicit NNReductionColumnMaxNode(const NNImageNode& source);
    static bool isKindOf(const detail::ObjectImpl&);
};

/// NNReduceFeatureChannelsMax. MPSNNReductionFeatureChannelsMaxNode.
class NNReductionFeatureChannelsMaxNode : public NNUnaryReductionNode {
public:
    NNReductionFeatureChannelsMaxNode() = default;
    explicit NNReductionFeatureChannelsMaxNode(const NNImageNode& source);
    static bool isKindOf(const detail::ObjectImpl&);
};

/// NNReduceRowMean. MPSNNReductionRowMeanNode.
class NNReductionRowMeanNode : public NNUnaryReductionNode {
public:
    NNReductionRowMeanNode() = default;
    explicit NNReductionRowMeanNode(const NNImageNode& source);
    static bool isKindOf(const detail::ObjectImpl&);
};

/// NNReduceColumnMean. MPSNNReductionColumnMeanNode.
class NNReductionColumnMeanNode : public NNUnaryReductionNode {
public:
    NNReductionColumnMeanNode() = default;
    explicit NNReductionColumnMeanNode(const NNImageNode& source);
    static bool isKindOf(const detail::ObjectImpl&);
};

/// NNReduceFeatureChannelsMean. MPSNNReductionFeatureChannelsMeanNode.
class NNReductionFeatureChannelsMeanNode : public NNUnaryReductionNode {
public:
    NNReductionFeatureChannelsMeanNode() = default;
    explicit NNReductionFeatureChannelsMeanNode(const NNImageNode& source);
    static bool isKindOf(const detail::ObjectImpl&);
};

/// NNReduceRowSum. MPSNNReductionRowSumNode.
class NNReductionRowSumNode : public NNUnaryReductionNode {
public:
    NNReductionRowSumNode() = default;
    explicit NNReductionRowSumNode(const NNImageNode& source);
    static bool isKindOf(const detail::ObjectImpl&);
};

/// NNReduceColumnSum. MPSNNReductionColumnSumNode.
class NNReductionColumnSumNode : public NNUnaryReductionNode {
public:
    NNReductionColumnSumNode() = default;
    explicit NNReductionColumnSumNode(const NNImageNode& source);
    static bool isKindOf(const detail::ObjectImpl&);
};

/// NNReduceFeatureChannelsArgumentMin. MPSNNReductionFeatureChannelsArgumentMinNode.
class NNReductionFeatureChannelsArgumentMinNode : public NNUnaryReductionNode {
public:
    NNReductionFeatureChannelsArgumentMinNode() = default;
    explicit NNReductionFeatureChannelsArgumentMinNode(const NNImageNode& source);
    static bool isKindOf(const detail::ObjectImpl&);
};

/// NNReduceFeatureChannelsArgumentMax. MPSNNReductionFeatureChannelsArgumentMaxNode.
class NNReductionFeatureChannelsArgumentMaxNode : public NNUnaryReductionNode {
public:
    NNReductionFeatureChannelsArgumentMaxNode() = default;
    explicit NNReductionFeatureChannelsArgumentMaxNode(const NNImageNode& source);
    static bool isKindOf(const detail::ObjectImpl&);
};

/// NNReduceFeatureChannelsSum. MPSNNReductionFeatureChannelsSumNode.
class NNReductionFeatureChannelsSumNode : public NNUnaryReductionNode {
public:
    NNReductionFeatureChannelsSumNode() = default;
    explicit NNReductionFeatureChannelsSumNode(const NNImageNode& source);
    /// What the sum is multiplied by; 1 at first.
    float weight() const;
    void setWeight(float weight) const;
    static bool isKindOf(const detail::ObjectImpl&);
};

/// Y[0,0,c] = mean over x and y of X[x,y,c]; the only reduction with a gradient.
/// MPSNNReductionSpatialMeanNode.
class NNReductionSpatialMeanNode : public NNUnaryReductionNode {
public:
    NNReductionSpatialMeanNode() = default;
    explicit NNReductionSpatialMeanNode(const NNImageNode& source);
    static bool isKindOf(const detail::ObjectImpl&);
};

/// dX[x,y,c] = G[0,0,c] / n for each of the n pixels that the mean is of, 0 for others.
/// MPSNNReductionSpatialMeanGradientNode.
class NNReductionSpatialMeanGradientNode : public NNGradientFilterNode {
public:
    NNReductionSpatialMeanGradientNode() = default;
    NNReductionSpatialMeanGradientNode(const NNImageNode& sourceGradient,
                                       const NNImageNode& sourceImage,
                                       const NNGradientStateNode& gradientState);
    static bool isKindOf(const detail::ObjectImpl&);
};

} // namespace mpsvk::MPS
