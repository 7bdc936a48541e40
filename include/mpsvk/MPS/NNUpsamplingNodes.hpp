// Nodes of upsampling. Factors that no kernel takes are an InvalidArgument at construction.
#pragma once

#include <mpsvk/MPS/CNNUpsampling.hpp>
#include <mpsvk/MPS/NNGraphNodeBases.hpp>

namespace mpsvk::MPS {

/// MPSCNNUpsamplingNearestNode.
class CNNUpsamplingNearestNode : public NNFilterNode {
public:
    CNNUpsamplingNearestNode() = default;
    CNNUpsamplingNearestNode(const NNImageNode& source, uint64_t integerScaleFactorX,
                             uint64_t integerScaleFactorY);
    double scaleFactorX() const;
    double scaleFactorY() const;
    static bool isKindOf(const detail::ObjectImpl&);
};

/// Factors may be fractions. MPSCNNUpsamplingBilinearNode.
class CNNUpsamplingBilinearNode : public NNFilterNode {
public:
    CNNUpsamplingBilinearNode() = default;
    CNNUpsamplingBilinearNode(const NNImageNode& source, double scaleFactorX, double scaleFactorY,
                              bool alignCorners = false);
    double scaleFactorX() const;
    double scaleFactorY() const;
    bool alignCorners() const;
    static bool isKindOf(const detail::ObjectImpl&);
};

/// The factors are whole numbers. MPSCNNUpsamplingNearestGradientNode.
class CNNUpsamplingNearestGradientNode : public NNGradientFilterNode {
public:
    CNNUpsamplingNearestGradientNode() = default;
    CNNUpsamplingNearestGradientNode(const NNImageNode& sourceGradient,
                                     const NNImageNode& sourceImage,
                                     const NNGradientStateNode& gradientState, double scaleFactorX,
                                     double scaleFactorY);
    double scaleFactorX() const;
    double scaleFactorY() const;
    static bool isKindOf(const detail::ObjectImpl&);
};

/// Whether corners were aligned comes with the gradient state.
/// MPSCNNUpsamplingBilinearGradientNode.
class CNNUpsamplingBilinearGradientNode : public NNGradientFilterNode {
public:
    CNNUpsamplingBilinearGradientNode() = default;
    CNNUpsamplingBilinearGradientNode(const NNImageNode& sourceGradient,
                                      const NNImageNode& sourceImage,
                                      const NNGradientStateNode& gradientState, double scaleFactorX,
                                      double scaleFactorY);
    double scaleFactorX() const;
    double scaleFactorY() const;
    static bool isKindOf(const detail::ObjectImpl&);
};

} // namespace mpsvk::MPS
