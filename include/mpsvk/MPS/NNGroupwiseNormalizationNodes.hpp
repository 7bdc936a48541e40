// Nodes of instance and group normalization. They are trainable: their gradient nodes ask the data
// source for an update of gamma and beta, with the gradient states of the batch, one per image.
#pragma once

#include <mpsvk/MPS/CNNGroupNormalization.hpp>
#include <mpsvk/MPS/CNNInstanceNormalization.hpp>
#include <mpsvk/MPS/NNGraphNodeBases.hpp>

namespace mpsvk::MPS {

/// MPSCNNInstanceNormalizationNode.
class CNNInstanceNormalizationNode : public NNFilterNode {
public:
    CNNInstanceNormalizationNode() = default;
    /// Throws InvalidArgument for a null data source.
    CNNInstanceNormalizationNode(const NNImageNode& source,
                                 std::shared_ptr<CNNInstanceNormalizationDataSource> dataSource);
    static bool isKindOf(const detail::ObjectImpl&);
};

/// MPSCNNInstanceNormalizationGradientNode.
class CNNInstanceNormalizationGradientNode : public NNGradientFilterNode {
public:
    CNNInstanceNormalizationGradientNode() = default;
    /// Throws InvalidArgument unless the state is that of a CNNInstanceNormalizationNode.
    CNNInstanceNormalizationGradientNode(const NNImageNode& sourceGradient,
                                         const NNImageNode& sourceImage,
                                         const NNGradientStateNode& gradientState);
    static bool isKindOf(const detail::ObjectImpl&);
};

/// MPSCNNGroupNormalizationNode.
class CNNGroupNormalizationNode : public NNFilterNode {
public:
    CNNGroupNormalizationNode() = default;
    /// Throws InvalidArgument for a null data source.
    CNNGroupNormalizationNode(const NNImageNode& source,
                              std::shared_ptr<CNNGroupNormalizationDataSource> dataSource);
    static bool isKindOf(const detail::ObjectImpl&);
};

/// MPSCNNGroupNormalizationGradientNode.
class CNNGroupNormalizationGradientNode : public NNGradientFilterNode {
public:
    CNNGroupNormalizationGradientNode() = default;
    /// Throws InvalidArgument unless the state is that of a CNNGroupNormalizationNode.
    CNNGroupNormalizationGradientNode(const NNImageNode& sourceGradient,
                                      const NNImageNode& sourceImage,
                                      const NNGradientStateNode& gradientState);
    static bool isKindOf(const detail::ObjectImpl&);
};

} // namespace mpsvk::MPS
