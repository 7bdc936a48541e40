// Nodes of element-by-element arithmetic: y = clamp((ps*a) op (ss*b) + bias). A stride of 0 repeats
// an operand along that axis; with 1, the default, sizes must match.
#pragma once

#include <mpsvk/MPS/CNNMath.hpp>
#include <mpsvk/MPS/NNGraphNodeBases.hpp>

#include <span>

namespace mpsvk::MPS {

/// MPSNNArithmeticGradientStateNode.
class NNArithmeticGradientStateNode : public NNBinaryGradientStateNode {
public:
    using NNBinaryGradientStateNode::NNBinaryGradientStateNode;
};

/// MPSNNBinaryArithmeticNode; abstract. Sources are [primary, secondary], and so are the nodes of
/// gradientFilters. An array of sources has two elements.
class NNBinaryArithmeticNode : public NNFilterNode {
public:
    NNBinaryArithmeticNode() = default;
    NNFilterNode gradientFilter(const NNImageNode&) const = delete;
    NNFilterNode gradientFilter(const std::vector<NNImageNode>&) const = delete;
    /// The name of the class that gradientFilters makes nodes of ("NNAdditionGradientNode"), or "".
    std::string gradientClass() const;

    float primaryScale() const;
    void setPrimaryScale(float value) const;
    float secondaryScale() const;
    void setSecondaryScale(float value) const;
    float bias() const;
    void setBias(float value) const;
    float minimumValue() const;
    void setMinimumValue(float value) const;
    float maximumValue() const;
    void setMaximumValue(float value) const;
    uint64_t primaryStrideInPixelsX() const;
    void setPrimaryStrideInPixelsX(uint64_t value) const;
    uint64_t primaryStrideInPixelsY() const;
    void setPrimaryStrideInPixelsY(uint64_t value) const;
    uint64_t primaryStrideInFeatureChannels() const;
    void setPrimaryStrideInFeatureChannels(uint64_t value) const;
    uint64_t secondaryStrideInPixelsX() const;
    void setSecondaryStrideInPixelsX(uint64_t value) const;
    uint64_t secondaryStrideInPixelsY() const;
    void setSecondaryStrideInPixelsY(uint64_t value) const;
    uint64_t secondaryStrideInFeatureChannels() const;
    void setSecondaryStrideInFeatureChannels(uint64_t value) const;
    static bool isKindOf(const detail::ObjectImpl&);

protected:
    using NNFilterNode::NNFilterNode;
};

/// ps*a + ss*b. MPSNNAdditionNode.
class NNAdditionNode : public NNBinaryArithmeticNode {
public:
    NNAdditionNode() = default;
    NNAdditionNode(const NNImageNode& left, const NNImageNode& right);
    explicit NNAdditionNode(std::span<const NNImageNode> sources);
    static bool isKindOf(const detail::ObjectImpl&);
};

/// ps*a - ss*b. MPSNNSubtractionNode.
class NNSubtractionNode : public NNBinaryArithmeticNode {
public:
    NNSubtractionNode() = default;
    NNSubtractionNode(const NNImageNode& left, const NNImageNode& right);
    explicit NNSubtractionNode(std::span<const NNImageNode> sources);
    static bool isKindOf(const detail::ObjectImpl&);
};

/// (ps*a) * (ss*b). MPSNNMultiplicationNode.
class NNMultiplicationNode : public NNBinaryArithmeticNode {
public:
    NNMultiplicationNode() = default;
    NNMultiplicationNode(const NNImageNode& left, const NNImageNode& right);
    explicit NNMultiplicationNode(std::span<const NNImageNode> sources);
    static bool isKindOf(const detail::ObjectImpl&);
};

/// (ps*a) / (ss*b); has no gradient. MPSNNDivisionNode.
class NNDivisionNode : public NNBinaryArithmeticNode {
public:
    NNDivisionNode() = default;
    NNDivisionNode(const NNImageNode& left, const NNImageNode& right);
    explicit NNDivisionNode(std::span<const NNImageNode> sources);
    static bool isKindOf(const detail::ObjectImpl&);
};

/// 1 where the comparison holds, else 0; has no gradient. MPSNNComparisonNode.
class NNComparisonNode : public NNBinaryArithmeticNode {
public:
    NNComparisonNode() = default;
    NNComparisonNode(const NNImageNode& left, const NNImageNode& right);
    explicit NNComparisonNode(std::span<const NNImageNode> sources);
    /// Equal at first.
    NNComparisonType comparisonType() const;
    void setComparisonType(NNComparisonType type) const;
    static bool isKindOf(const detail::ObjectImpl&);
};

/// MPSNNArithmeticGradientNode. The gradient with respect to one operand, summed over the
/// axes along which the forward node repeated it. `primaryScale` multiplies the incoming gradient
/// and, in a multiplication, `secondaryScale` the other operand, which is then the source image (in
/// the others it is the operand itself). Nodes made from a forward node take its scales along:
/// dx = ps*g, dy = ss*g or -ss*g, of a product dx = ps*ss*y*g and dy = ps*ss*x*g. bias is unused.
class NNArithmeticGradientNode : public NNGradientFilterNode {
public:
    NNArithmeticGradientNode() = default;
    /// A node of the class that belongs to the node which `gradientState` is of, or to
    /// `forwardFilter`. Throw InvalidArgument when that is no addition, subtraction or
    /// multiplication.
    NNArithmeticGradientNode(const NNImageNode& sourceGradient, const NNImageNode& sourceImage,
                             const NNBinaryGradientStateNode& gradientState,
                             bool isSecondarySourceFilter);
    NNArithmeticGradientNode(const std::vector<NNImageNode>& gradientImages,
                             const NNFilterNode& forwardFilter, bool isSecondarySourceFilter);
    bool isSecondarySourceFilter() const;
    float primaryScale() const;
    void setPrimaryScale(float value) const;
    float secondaryScale() const;
    void setSecondaryScale(float value) const;
    float bias() const;
    void setBias(float value) const;
    float minimumValue() const;
    void setMinimumValue(float value) const;
    float maximumValue() const;
    void setMaximumValue(float value) const;
    uint64_t secondaryStrideInPixelsX() const;
    void setSecondaryStrideInPixelsX(uint64_t value) const;
    uint64_t secondaryStrideInPixelsY() const;
    void setSecondaryStrideInPixelsY(uint64_t value) const;
    uint64_t secondaryStrideInFeatureChannels() const;
    void setSecondaryStrideInFeatureChannels(uint64_t value) const;
    static bool isKindOf(const detail::ObjectImpl&);

protected:
    using NNGradientFilterNode::NNGradientFilterNode;
};

/// MPSNNAdditionGradientNode.
class NNAdditionGradientNode : public NNArithmeticGradientNode {
public:
    NNAdditionGradientNode() = default;
    NNAdditionGradientNode(const NNImageNode& sourceGradient, const NNImageNode& sourceImage,
                           const NNBinaryGradientStateNode& gradientState,
                           bool isSecondarySourceFilter);
    NNAdditionGradientNode(const std::vector<NNImageNode>& gradientImages,
                           const NNFilterNode& forwardFilter, bool isSecondarySourceFilter);
    static bool isKindOf(const detail::ObjectImpl&);
};

/// MPSNNSubtractionGradientNode. The first initialiser leaves primaryScale at 1: for the secondary
/// operand it is to be set to the negative of the forward scale.
class NNSubtractionGradientNode : public NNArithmeticGradientNode {
public:
    NNSubtractionGradientNode() = default;
    NNSubtractionGradientNode(const NNImageNode& sourceGradient, const NNImageNode& sourceImage,
                              const NNBinaryGradientStateNode& gradientState,
                              bool isSecondarySourceFilter);
    NNSubtractionGradientNode(const std::vector<NNImageNode>& gradientImages,
                              const NNFilterNode& forwardFilter, bool isSecondarySourceFilter);
    static bool isKindOf(const detail::ObjectImpl&);
};

/// MPSNNMultiplicationGradientNode.
class NNMultiplicationGradientNode : public NNArithmeticGradientNode {
public:
    NNMultiplicationGradientNode() = default;
    NNMultiplicationGradientNode(const NNImageNode& sourceGradient, const NNImageNode& sourceImage,
                                 const NNBinaryGradientStateNode& gradientState,
                                 bool isSecondarySourceFilter);
    NNMultiplicationGradientNode(const std::vector<NNImageNode>& gradientImages,
                                 const NNFilterNode& forwardFilter, bool isSecondarySourceFilter);
    static bool isKindOf(const detail::ObjectImpl&);
};

} // namespace mpsvk::MPS
