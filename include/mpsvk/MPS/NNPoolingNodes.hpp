// Nodes of the pooling family. Forward kernels get edge mode Clamp (so an average shrinks its
// window at the border) and same-size padding, unless the node's paddingPolicy says otherwise.
// Gradients take their geometry from the gradient state; a custom policy is not asked again, and
// only the policy's inverse(), where it has one, is handed to the gradient node.
#pragma once

#include <mpsvk/MPS/CNNPooling.hpp>
#include <mpsvk/MPS/NNGraphNodeBases.hpp>

namespace mpsvk::MPS {

/// MPSCNNPoolingNode; abstract.
class CNNPoolingNode : public NNFilterNode {
public:
    CNNPoolingNode() = default;
    uint64_t kernelWidth() const;
    uint64_t kernelHeight() const;
    uint64_t strideInPixelsX() const;
    uint64_t strideInPixelsY() const;
    static bool isKindOf(const detail::ObjectImpl&);

protected:
    using NNFilterNode::NNFilterNode;
};

/// MPSCNNPoolingMaxNode.
class CNNPoolingMaxNode : public CNNPoolingNode {
public:
    CNNPoolingMaxNode() = default;
    CNNPoolingMaxNode(const NNImageNode& source, uint64_t kernelWidth, uint64_t kernelHeight,
                      uint64_t strideInPixelsX, uint64_t strideInPixelsY);
    CNNPoolingMaxNode(const NNImageNode& source, uint64_t filterSize, uint64_t stride)
        : CNNPoolingMaxNode(source, filterSize, filterSize, stride, stride) {}
    /// The stride is the size: windows do not overlap.
    CNNPoolingMaxNode(const NNImageNode& source, uint64_t filterSize)
        : CNNPoolingMaxNode(source, filterSize, filterSize) {}
    static bool isKindOf(const detail::ObjectImpl&);
};

/// MPSCNNPoolingAverageNode.
class CNNPoolingAverageNode : public CNNPoolingNode {
public:
    CNNPoolingAverageNode() = default;
    CNNPoolingAverageNode(const NNImageNode& source, uint64_t kernelWidth, uint64_t kernelHeight,
                          uint64_t strideInPixelsX, uint64_t strideInPixelsY);
    CNNPoolingAverageNode(const NNImageNode& source, uint64_t filterSize, uint64_t stride)
        : CNNPoolingAverageNode(source, filterSize, filterSize, stride, stride) {}
    CNNPoolingAverageNode(const NNImageNode& source, uint64_t filterSize)
        : CNNPoolingAverageNode(source, filterSize, filterSize) {}
    static bool isKindOf(const detail::ObjectImpl&);
};

/// MPSCNNPoolingL2NormNode.
class CNNPoolingL2NormNode : public CNNPoolingNode {
public:
    CNNPoolingL2NormNode() = default;
    CNNPoolingL2NormNode(const NNImageNode& source, uint64_t kernelWidth, uint64_t kernelHeight,
                         uint64_t strideInPixelsX, uint64_t strideInPixelsY);
    CNNPoolingL2NormNode(const NNImageNode& source, uint64_t filterSize, uint64_t stride)
        : CNNPoolingL2NormNode(source, filterSize, filterSize, stride, stride) {}
    CNNPoolingL2NormNode(const NNImageNode& source, uint64_t filterSize)
        : CNNPoolingL2NormNode(source, filterSize, filterSize) {}
    static bool isKindOf(const detail::ObjectImpl&);
};

/// MPSCNNDilatedPoolingMaxNode.
class CNNDilatedPoolingMaxNode : public NNFilterNode {
public:
    CNNDilatedPoolingMaxNode() = default;
    CNNDilatedPoolingMaxNode(const NNImageNode& source, uint64_t kernelWidth, uint64_t kernelHeight,
                             uint64_t strideInPixelsX, uint64_t strideInPixelsY,
                             uint64_t dilationRateX, uint64_t dilationRateY);
    CNNDilatedPoolingMaxNode(const NNImageNode& source, uint64_t filterSize, uint64_t stride,
                             uint64_t dilationRate)
        : CNNDilatedPoolingMaxNode(source, filterSize, filterSize, stride, stride, dilationRate,
                                   dilationRate) {}
    /// Stride and dilation are the size.
    CNNDilatedPoolingMaxNode(const NNImageNode& source, uint64_t filterSize)
        : CNNDilatedPoolingMaxNode(source, filterSize, filterSize, filterSize) {}
    uint64_t dilationRateX() const;
    uint64_t dilationRateY() const;
    static bool isKindOf(const detail::ObjectImpl&);
};

/// MPSCNNPoolingGradientNode; abstract.
class CNNPoolingGradientNode : public NNGradientFilterNode {
public:
    CNNPoolingGradientNode() = default;
    /// A node of the class that belongs to the pooling node which `gradientState` is of. Throws
    /// InvalidArgument when it is of none.
    CNNPoolingGradientNode(const NNImageNode& sourceGradient, const NNImageNode& sourceImage,
                           const NNGradientStateNode& gradientState, uint64_t kernelWidth,
                           uint64_t kernelHeight, uint64_t strideInPixelsX,
                           uint64_t strideInPixelsY, std::shared_ptr<NNPadding> paddingPolicy);
    uint64_t kernelWidth() const;
    uint64_t kernelHeight() const;
    uint64_t strideInPixelsX() const;
    uint64_t strideInPixelsY() const;
    static bool isKindOf(const detail::ObjectImpl&);

protected:
    using NNGradientFilterNode::NNGradientFilterNode;
};

/// MPSCNNPoolingMaxGradientNode.
class CNNPoolingMaxGradientNode : public CNNPoolingGradientNode {
public:
    CNNPoolingMaxGradientNode() = default;
    CNNPoolingMaxGradientNode(const NNImageNode& sourceGradient, const NNImageNode& sourceImage,
                              const NNGradientStateNode& gradientState, uint64_t kernelWidth,
                              uint64_t kernelHeight, uint64_t strideInPixelsX,
                              uint64_t strideInPixelsY, std::shared_ptr<NNPadding> paddingPolicy);
    static bool isKindOf(const detail::ObjectImpl&);
};

/// MPSCNNPoolingAverageGradientNode.
class CNNPoolingAverageGradientNode : public CNNPoolingGradientNode {
public:
    CNNPoolingAverageGradientNode() = default;
    CNNPoolingAverageGradientNode(const NNImageNode& sourceGradient, const NNImageNode& sourceImage,
                                  const NNGradientStateNode& gradientState, uint64_t kernelWidth,
                                  uint64_t kernelHeight, uint64_t strideInPixelsX,
                                  uint64_t strideInPixelsY,
                                  std::shared_ptr<NNPadding> paddingPolicy);
    static bool isKindOf(const detail::ObjectImpl&);
};

/// MPSCNNPoolingL2NormGradientNode.
class CNNPoolingL2NormGradientNode : public CNNPoolingGradientNode {
public:
    CNNPoolingL2NormGradientNode() = default;
    CNNPoolingL2NormGradientNode(const NNImageNode& sourceGradient, const NNImageNode& sourceImage,
                                 const NNGradientStateNode& gradientState, uint64_t kernelWidth,
                                 uint64_t kernelHeight, uint64_t strideInPixelsX,
                                 uint64_t strideInPixelsY,
                                 std::shared_ptr<NNPadding> paddingPolicy);
    static bool isKindOf(const detail::ObjectImpl&);
};

/// MPSCNNDilatedPoolingMaxGradientNode.
class CNNDilatedPoolingMaxGradientNode : public CNNPoolingGradientNode {
public:
    CNNDilatedPoolingMaxGradientNode() = default;
    CNNDilatedPoolingMaxGradientNode(const NNImageNode& sourceGradient,
                                     const NNImageNode& sourceImage,
                                     const NNGradientStateNode& gradientState, uint64_t kernelWidth,
                                     uint64_t kernelHeight, uint64_t strideInPixelsX,
                                     uint64_t strideInPixelsY, uint64_t dilationRateX,
                                     uint64_t dilationRateY);
    uint64_t dilationRateX() const;
    uint64_t dilationRateY() const;
    static bool isKindOf(const detail::ObjectImpl&);
};

} // namespace mpsvk::MPS
