#include "mps/NNArithmeticNodes.hpp"

#include "mps/CNNNeuron.hpp"
#include "mps/NNNodeClasses.hpp"

#include <mpsvk/Error.hpp>

#include <cmath>

namespace mpsvk::MPS {

namespace {

using enum ArithmeticOperation;

const char* nameOf(ArithmeticOperation operation) {
    constexpr const char* names[] = {"NNAdditionNode", "NNSubtractionNode", "NNMultiplicationNode",
                                     "NNDivisionNode", "NNComparisonNode"};
    return names[size_t(operation)];
}

const char* gradientNameOf(ArithmeticOperation operation) {
    constexpr const char* names[] = {"NNAdditionGradientNode", "NNSubtractionGradientNode",
                                     "NNMultiplicationGradientNode"};
    return names[size_t(operation)];
}

/// What a kernel and its gradient share.
template <class Kernel> void apply(const ArithmeticSettings& s, Kernel& kernel) {
    kernel.setPrimaryScale(s.primaryScale);
    kernel.setSecondaryScale(s.secondaryScale);
    kernel.setBias(s.bias);
    kernel.setMinimumValue(s.minimum);
    kernel.setMaximumValue(s.maximum);
    kernel.setSecondaryStrideInPixelsX(s.secondary.x);
    kernel.setSecondaryStrideInPixelsY(s.secondary.y);
    kernel.setSecondaryStrideInFeatureChannels(s.secondary.channels);
}

template <class Kernel>
std::unique_ptr<mps::Stage> stage(const MTL::Device& device, const ArithmeticNode& node,
                                  const NNNeuronDescriptor* neuron) {
    Kernel kernel(device);
    if (neuron) mps::NeuronAccess::setNeuron(kernel, *neuron);
    const ArithmeticSettings& s = node.settings;
    apply(s, kernel);
    kernel.setPrimaryStrideInPixelsX(s.primary.x);
    kernel.setPrimaryStrideInPixelsY(s.primary.y);
    kernel.setPrimaryStrideInFeatureChannels(s.primary.channels);
    if constexpr (std::is_same_v<Kernel, NNCompare>) kernel.setComparisonType(node.comparison);
    return std::make_unique<mps::BinaryStage<Kernel>>(std::move(kernel));
}

template <class Kernel>
std::unique_ptr<mps::Stage> gradientStage(const MTL::Device& device,
                                          const ArithmeticGradientNode& node) {
    Kernel kernel(device, node.isSecondary);
    apply(node.settings, kernel);
    return std::make_unique<mps::GradientStage<Kernel>>(std::move(kernel));
}

} // namespace

void OperandStrides::archive(mps::Archive& archive) {
    archive("x", x);
    archive("y", y);
    archive("channels", channels);
}

void ArithmeticSettings::archive(mps::Archive& archive) {
    archive("primaryScale", primaryScale);
    archive("secondaryScale", secondaryScale);
    archive("bias", bias);
    archive("minimumValue", minimum);
    archive("maximumValue", maximum);
    archive("primaryStrides", primary);
    archive("secondaryStrides", secondary);
}

void ArithmeticNode::archive(mps::Archive& archive) {
    archive("settings", settings);
    archive("comparisonType", comparison);
}

void ArithmeticGradientNode::archive(mps::Archive& archive) {
    archive("settings", settings);
    archive("isSecondarySourceFilter", isSecondary);
}

ArithmeticNode::ArithmeticNode(ArithmeticOperation op, const NNImageNode& left,
                               const NNImageNode& right)
    : Impl(nameOf(op), {left, right}), operation(op) {
    if (op <= Multiply) addResultState(StateNodeKind::BinaryGradient);
}

std::unique_ptr<mps::Stage> ArithmeticNode::stageWith(const MTL::Device& device,
                                                      const NNNeuronDescriptor* neuron) const {
    switch (operation) {
    case Add: return stage<CNNAdd>(device, *this, neuron);
    case Subtract: return stage<CNNSubtract>(device, *this, neuron);
    case Multiply: return stage<CNNMultiply>(device, *this, neuron);
    case Divide: return stage<CNNDivide>(device, *this, neuron);
    case Compare: break;
    }
    return stage<NNCompare>(device, *this, neuron);
}

std::unique_ptr<mps::Stage> ArithmeticNode::makeStage(const MTL::Device& device) const {
    return stageWith(device, nullptr);
}

std::unique_ptr<mps::Stage>
ArithmeticNode::makeStageWithNeuron(const MTL::Device& device,
                                    const NNNeuronDescriptor& neuron) const {
    return stageWith(device, &neuron);
}

bool ArithmeticNode::isSum() const {
    return operation == Add && settings == ArithmeticSettings() && !std::signbit(settings.bias);
}

std::unique_ptr<mps::Stage>
ArithmeticNode::makeStageWithDerivative(const MTL::Device& device, const NNNeuronDescriptor& neuron,
                                        bool) const {
    return makeResultGradientStage(device, neuron);
}

std::string NNBinaryArithmeticNode::gradientClass() const {
    const auto operation = static_cast<const ArithmeticNode&>(impl()).operation;
    return operation > Multiply ? "" : gradientNameOf(operation);
}

std::vector<NNFilterNode> ArithmeticNode::makeGradients(const std::vector<NNImageNode>& gradients) {
    if (operation > Multiply) return {};
    return {NNFilterNode(ArithmeticGradientNode::of(*this, gradients[0], false)),
            NNFilterNode(ArithmeticGradientNode::of(*this, gradients[0], true))};
}

ArithmeticGradientNode::ArithmeticGradientNode(ArithmeticOperation op, const NNImageNode& gradient,
                                               const NNImageNode& image, const NNStateNode& state,
                                               bool isSecondary)
    : Impl(gradientNameOf(op), {gradient, image}, {state}), operation(op),
      isSecondary(isSecondary) {}

std::shared_ptr<ArithmeticGradientNode>
ArithmeticGradientNode::of(ArithmeticNode& forward, const NNImageNode& gradient, bool isSecondary) {
    // A product's derivative reads the other operand, a sum's only has the operand's own size.
    const bool readsSecondary = forward.operation == Multiply ? !isSecondary : isSecondary;
    auto made = std::make_shared<ArithmeticGradientNode>(forward.operation, gradient,
                                                         forward.sources[readsSecondary ? 1 : 0],
                                                         forward.state(0), isSecondary);
    const ArithmeticSettings& f = forward.settings;
    ArithmeticSettings& s = made->settings;
    s.minimum = f.minimum;
    s.maximum = f.maximum;
    s.secondary = readsSecondary ? f.secondary : f.primary;
    if (forward.operation == Multiply) {
        s.primaryScale = f.primaryScale;
        s.secondaryScale = f.secondaryScale;
    } else {
        s.primaryScale = !isSecondary                    ? f.primaryScale
                         : forward.operation == Subtract ? -f.secondaryScale
                                                         : f.secondaryScale;
    }
    return made;
}

bool ArithmeticGradientNode::isCopy() const {
    // Bounds zero the gradient of what was clamped.
    const ArithmeticSettings plain;
    const OperandStrides& s = settings.secondary;
    return operation != Multiply && settings.primaryScale == 1 && s.x && s.y && s.channels &&
           settings.minimum == plain.minimum && settings.maximum == plain.maximum;
}

std::unique_ptr<mps::Stage> ArithmeticGradientNode::makeStage(const MTL::Device& device) const {
    switch (operation) {
    case Add: return gradientStage<CNNAddGradient>(device, *this);
    case Subtract: return gradientStage<CNNSubtractGradient>(device, *this);
    default: return gradientStage<CNNMultiplyGradient>(device, *this);
    }
}

NNFilterNode makeAdditionNode(const NNImageNode& left, const NNImageNode& right) {
    return NNAdditionNode(left, right);
}

} // namespace mpsvk::MPS

namespace mpsvk::mps {

void addArithmeticNodes(NodeClasses& all) {
    using namespace MPS;
    for (const auto operation : {Add, Subtract, Multiply, Divide, Compare}) {
        all.add(nameOf(operation), [operation](const NodeSources& from) {
            return std::make_shared<ArithmeticNode>(operation, from.image(0), from.image(1));
        });
        if (operation > Multiply) continue;
        all.add(gradientNameOf(operation), [operation](const NodeSources& from) {
            return std::make_shared<ArithmeticGradientNode>(operation, from.image(0), from.image(1),
                                                            from.state(0), false);
        });
    }
}

} // namespace mpsvk::mps
