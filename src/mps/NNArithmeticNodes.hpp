// What lies behind the arithmetic nodes.
#pragma once

#include "mps/NNGraphNodes.hpp"

#include <mpsvk/MPS/NNArithmeticNodes.hpp>

#include <cfloat>

namespace mpsvk::MPS {

enum class ArithmeticOperation { Add, Subtract, Multiply, Divide, Compare };

/// Of one operand: 0 repeats it along the axis.
struct OperandStrides {
    uint64_t x = 1, y = 1, channels = 1;
    bool operator==(const OperandStrides&) const = default;
    void archive(mps::Archive& archive);
};

struct ArithmeticSettings {
    float primaryScale = 1, secondaryScale = 1, bias = 0;
    float minimum = -FLT_MAX, maximum = FLT_MAX;
    OperandStrides primary, secondary;
    bool operator==(const ArithmeticSettings&) const = default;
    void archive(mps::Archive& archive);
};

struct ArithmeticNode final : NNFilterNode::Impl {
    ArithmeticNode(ArithmeticOperation op, const NNImageNode& left, const NNImageNode& right);
    std::unique_ptr<mps::Stage> makeStage(const MTL::Device& device) const override;
    bool takesNeuron() const override { return operation != ArithmeticOperation::Compare; }
    std::unique_ptr<mps::Stage>
    makeStageWithNeuron(const MTL::Device& device, const NNNeuronDescriptor& neuron) const override;
    bool isSum() const override;
    std::unique_ptr<mps::Stage> makeStageWithDerivative(const MTL::Device& device,
                                                        const NNNeuronDescriptor& neuron,
                                                        bool fromResult) const override;
    std::vector<NNFilterNode> makeGradients(const std::vector<NNImageNode>& gradients) override;
    void archive(mps::Archive& archive) override;

    const ArithmeticOperation operation;
    ArithmeticSettings settings;
    NNComparisonType comparison = NNComparisonType::Equal;

private:
    std::unique_ptr<mps::Stage> stageWith(const MTL::Device& device,
                                          const NNNeuronDescriptor* neuron) const;
};

struct ArithmeticGradientNode final : NNFilterNode::Impl {
    ArithmeticGradientNode(ArithmeticOperation op, const NNImageNode& gradient,
                           const NNImageNode& image, const NNStateNode& state, bool isSecondary);
    /// With the forward node's settings folded in.
    static std::shared_ptr<ArithmeticGradientNode>
    of(ArithmeticNode& forward, const NNImageNode& gradient, bool isSecondary);
    bool isGradient() const override { return true; }
    bool isCopy() const override;
    std::unique_ptr<mps::Stage> makeStage(const MTL::Device& device) const override;
    void archive(mps::Archive& archive) override;

    const ArithmeticOperation operation;
    bool isSecondary;
    ArithmeticSettings settings; ///< without the primary strides
};

} // namespace mpsvk::MPS
