// Nodes of batch normalization. They are trainable: their gradient nodes ask the data source for
// updates.
#pragma once

#include <mpsvk/MPS/CNNBatchNormalizationState.hpp>
#include <mpsvk/MPS/NNGraphNodeBases.hpp>

namespace mpsvk::MPS {

/// Normalizes with the statistics of each batch where a gradient node of the graph reads the node's
/// state, and with the data source's mean and variance where none does; see `flags`. Running
/// averages are the data source's to keep, in its updates. MPSCNNBatchNormalizationNode.
class CNNBatchNormalizationNode : public NNFilterNode {
public:
    CNNBatchNormalizationNode() = default;
    CNNBatchNormalizationNode(const NNImageNode& source,
                              std::shared_ptr<CNNBatchNormalizationDataSource> dataSource);
    CNNBatchNormalizationFlags flags() const;
    void setFlags(CNNBatchNormalizationFlags flags) const;
    static bool isKindOf(const detail::ObjectImpl&);
};

/// The gradients of gamma and beta, the data source's updates, and the gradient of the source.
/// MPSCNNBatchNormalizationGradientNode.
class CNNBatchNormalizationGradientNode : public NNGradientFilterNode {
public:
    CNNBatchNormalizationGradientNode() = default;
    CNNBatchNormalizationGradientNode(const NNImageNode& sourceGradient,
                                      const NNImageNode& sourceImage,
                                      const NNGradientStateNode& gradientState);
    static bool isKindOf(const detail::ObjectImpl&);
};

} // namespace mpsvk::MPS
