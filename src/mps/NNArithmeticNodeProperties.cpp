// The arithmetic nodes' initialisers and properties.
#include "mps/NNArithmeticNodes.hpp"

#include <mpsvk/Error.hpp>

namespace mpsvk::MPS {

namespace {

using Operation = ArithmeticOperation;

std::shared_ptr<NNFilterNode::Impl> fromList(Operation operation, const char* name,
                                             std::span<const NNImageNode> sources) {
    if (sources.size() != 2)
        throw InvalidArgument(std::string("[") + name + "] " + std::to_string(sources.size()) +
                              " sources were given but there are two operands.");
    return std::make_shared<ArithmeticNode>(operation, sources[0], sources[1]);
}

std::shared_ptr<NNFilterNode::Impl> fromForward(Operation operation, const char* name,
                                                const std::vector<NNImageNode>& gradients,
                                                const NNFilterNode& forward, bool isSecondary) {
    const std::string who = std::string("[") + name + "] ";
    if (gradients.size() != 1)
        throw InvalidArgument(who + std::to_string(gradients.size()) +
                              " gradient images were given but the forward node has one result.");
    auto* node = dynamic_cast<ArithmeticNode*>(&forward.impl());
    if (!node || node->operation != operation)
        throw InvalidArgument(who + "The forward node is a " + forward.impl().className + ".");
    return ArithmeticGradientNode::of(*node, gradients[0], isSecondary);
}

Operation operationOf(const NNFilterNode::Impl* forward) {
    const auto* node = dynamic_cast<const ArithmeticNode*>(forward);
    if (!node || node->operation > Operation::Multiply)
        throw InvalidArgument("[NNArithmeticGradientNode] The forward node is " +
                              (forward ? "a " + forward->className : "not known") +
                              " but must be an addition, a subtraction or a multiplication.");
    return node->operation;
}

ArithmeticSettings& of(const NNBinaryArithmeticNode& node) {
    return static_cast<ArithmeticNode&>(node.impl()).settings;
}
ArithmeticSettings& of(const NNArithmeticGradientNode& node) {
    return static_cast<ArithmeticGradientNode&>(node.impl()).settings;
}

bool isForward(const detail::ObjectImpl& object, Operation operation) {
    const auto* node = dynamic_cast<const ArithmeticNode*>(&object);
    return node && node->operation == operation;
}
bool isGradientOf(const detail::ObjectImpl& object, Operation operation) {
    const auto* node = dynamic_cast<const ArithmeticGradientNode*>(&object);
    return node && node->operation == operation;
}

} // namespace

float NNBinaryArithmeticNode::primaryScale() const { return of(*this).primaryScale; }
void NNBinaryArithmeticNode::setPrimaryScale(float value) const { of(*this).primaryScale = value; }
float NNBinaryArithmeticNode::secondaryScale() const { return of(*this).secondaryScale; }
void NNBinaryArithmeticNode::setSecondaryScale(float value) const {
    of(*this).secondaryScale = value;
}
float NNBinaryArithmeticNode::bias() const { return of(*this).bias; }
void NNBinaryArithmeticNode::setBias(float value) const { of(*this).bias = value; }
float NNBinaryArithmeticNode::minimumValue() const { return of(*this).minimum; }
void NNBinaryArithmeticNode::setMinimumValue(float value) const { of(*this).minimum = value; }
float NNBinaryArithmeticNode::maximumValue() const { return of(*this).maximum; }
void NNBinaryArithmeticNode::setMaximumValue(float value) const { of(*this).maximum = value; }
uint64_t NNBinaryArithmeticNode::primaryStrideInPixelsX() const { return of(*this).primary.x; }
void NNBinaryArithmeticNode::setPrimaryStrideInPixelsX(uint64_t value) const {
    of(*this).primary.x = value;
}
uint64_t NNBinaryArithmeticNode::primaryStrideInPixelsY() const { return of(*this).primary.y; }
void NNBinaryArithmeticNode::setPrimaryStrideInPixelsY(uint64_t value) const {
    of(*this).primary.y = value;
}
uint64_t NNBinaryArithmeticNode::primaryStrideInFeatureChannels() const {
    return of(*this).primary.channels;
}
void NNBinaryArithmeticNode::setPrimaryStrideInFeatureChannels(uint64_t value) const {
    of(*this).primary.channels = value;
}
uint64_t NNBinaryArithmeticNode::secondaryStrideInPixelsX() const { return of(*this).secondary.x; }
void NNBinaryArithmeticNode::setSecondaryStrideInPixelsX(uint64_t value) const {
    of(*this).secondary.x = value;
}
uint64_t NNBinaryArithmeticNode::secondaryStrideInPixelsY() const { return of(*this).secondary.y; }
void NNBinaryArithmeticNode::setSecondaryStrideInPixelsY(uint64_t value) const {
    of(*this).secondary.y = value;
}
uint64_t NNBinaryArithmeticNode::secondaryStrideInFeatureChannels() const {
    return of(*this).secondary.channels;
}
void NNBinaryArithmeticNode::setSecondaryStrideInFeatureChannels(uint64_t value) const {
    of(*this).secondary.channels = value;
}

float NNArithmeticGradientNode::primaryScale() const { return of(*this).primaryScale; }
void NNArithmeticGradientNode::setPrimaryScale(float value) const {
    of(*this).primaryScale = value;
}
float NNArithmeticGradientNode::secondaryScale() const { return of(*this).secondaryScale; }
void NNArithmeticGradientNode::setSecondaryScale(float value) const {
    of(*this).secondaryScale = value;
}
float NNArithmeticGradientNode::bias() const { return of(*this).bias; }
void NNArithmeticGradientNode::setBias(float value) const { of(*this).bias = value; }
float NNArithmeticGradientNode::minimumValue() const { return of(*this).minimum; }
void NNArithmeticGradientNode::setMinimumValue(float value) const { of(*this).minimum = value; }
float NNArithmeticGradientNode::maximumValue() const { return of(*this).maximum; }
void NNArithmeticGradientNode::setMaximumValue(float value) const { of(*this).maximum = value; }
uint64_t NNArithmeticGradientNode::secondaryStrideInPixelsX() const {
    return of(*this).secondary.x;
}
void NNArithmeticGradientNode::setSecondaryStrideInPixelsX(uint64_t value) const {
    of(*this).secondary.x = value;
}
uint64_t NNArithmeticGradientNode::secondaryStrideInPixelsY() const {
    return of(*this).secondary.y;
}
void NNArithmeticGradientNode::setSecondaryStrideInPixelsY(uint64_t value) const {
    of(*this).secondary.y = value;
}
uint64_t NNArithmeticGradientNode::secondaryStrideInFeatureChannels() const {
    return of(*this).secondary.channels;
}
void NNArithmeticGradientNode::setSecondaryStrideInFeatureChannels(uint64_t value) const {
    of(*this).secondary.channels = value;
}

bool NNArithmeticGradientNode::isSecondarySourceFilter() const {
    return static_cast<const ArithmeticGradientNode&>(impl()).isSecondary;
}
NNComparisonType NNComparisonNode::comparisonType() const {
    return static_cast<const ArithmeticNode&>(impl()).comparison;
}
void NNComparisonNode::setComparisonType(NNComparisonType type) const {
    static_cast<ArithmeticNode&>(impl()).comparison = type;
}

using Node = NNImageNode;
using Nodes = std::vector<NNImageNode>;
using Forward = NNBinaryArithmeticNode;
using Gradient = NNArithmeticGradientNode;

NNAdditionNode::NNAdditionNode(const Node& left, const Node& right)
    : Forward(std::make_shared<ArithmeticNode>(Operation::Add, left, right)) {}
NNAdditionNode::NNAdditionNode(std::span<const Node> sources)
    : Forward(fromList(Operation::Add, "NNAdditionNode", sources)) {}
NNSubtractionNode::NNSubtractionNode(const Node& left, const Node& right)
    : Forward(std::make_shared<ArithmeticNode>(Operation::Subtract, left, right)) {}
NNSubtractionNode::NNSubtractionNode(std::span<const Node> sources)
    : Forward(fromList(Operation::Subtract, "NNSubtractionNode", sources)) {}
NNMultiplicationNode::NNMultiplicationNode(const Node& left, const Node& right)
    : Forward(std::make_shared<ArithmeticNode>(Operation::Multiply, left, right)) {}
NNMultiplicationNode::NNMultiplicationNode(std::span<const Node> sources)
    : Forward(fromList(Operation::Multiply, "NNMultiplicationNode", sources)) {}
NNDivisionNode::NNDivisionNode(const Node& left, const Node& right)
    : Forward(std::make_shared<ArithmeticNode>(Operation::Divide, left, right)) {}
NNDivisionNode::NNDivisionNode(std::span<const Node> sources)
    : Forward(fromList(Operation::Divide, "NNDivisionNode", sources)) {}
NNComparisonNode::NNComparisonNode(const Node& left, const Node& right)
    : Forward(std::make_shared<ArithmeticNode>(Operation::Compare, left, right)) {}
NNComparisonNode::NNComparisonNode(std::span<const Node> sources)
    : Forward(fromList(Operation::Compare, "NNComparisonNode", sources)) {}

NNArithmeticGradientNode::NNArithmeticGradientNode(const Node& gradient, const Node& image,
                                                   const NNBinaryGradientStateNode& state,
                                                   bool isSecondary)
    : Gradient(std::make_shared<ArithmeticGradientNode>(
          operationOf(state ? state.impl().producer : nullptr), gradient, image, state,
          isSecondary)) {}
NNArithmeticGradientNode::NNArithmeticGradientNode(const Nodes& gradients,
                                                   const NNFilterNode& forward, bool isSecondary)
    : Gradient(fromForward(operationOf(&forward.impl()), "NNArithmeticGradientNode", gradients,
                           forward, isSecondary)) {}
NNAdditionGradientNode::NNAdditionGradientNode(const Node& gradient, const Node& image,
                                               const NNBinaryGradientStateNode& state,
                                               bool isSecondary)
    : Gradient(std::make_shared<ArithmeticGradientNode>(Operation::Add, gradient, image, state,
                                                        isSecondary)) {}
NNAdditionGradientNode::NNAdditionGradientNode(const Nodes& gradients, const NNFilterNode& forward,
                                               bool isSecondary)
    : Gradient(
          fromForward(Operation::Add, "NNAdditionGradientNode", gradients, forward, isSecondary)) {}
NNSubtractionGradientNode::NNSubtractionGradientNode(const Node& gradient, const Node& image,
                                                     const NNBinaryGradientStateNode& state,
                                                     bool isSecondary)
    : Gradient(std::make_shared<ArithmeticGradientNode>(Operation::Subtract, gradient, image, state,
                                                        isSecondary)) {}
NNSubtractionGradientNode::NNSubtractionGradientNode(const Nodes& gradients,
                                                     const NNFilterNode& forward, bool isSecondary)
    : Gradient(fromForward(Operation::Subtract, "NNSubtractionGradientNode", gradients, forward,
                           isSecondary)) {}
NNMultiplicationGradientNode::NNMultiplicationGradientNode(const Node& gradient, const Node& image,
                                                           const NNBinaryGradientStateNode& state,
                                                           bool isSecondary)
    : Gradient(std::make_shared<ArithmeticGradientNode>(Operation::Multiply, gradient, image, state,
                                                        isSecondary)) {}
NNMultiplicationGradientNode::NNMultiplicationGradientNode(const Nodes& gradients,
                                                           const NNFilterNode& forward,
                                                           bool isSecondary)
    : Gradient(fromForward(Operation::Multiply, "NNMultiplicationGradientNode", gradients, forward,
                           isSecondary)) {}

bool NNBinaryArithmeticNode::isKindOf(const detail::ObjectImpl& object) {
    return dynamic_cast<const ArithmeticNode*>(&object) != nullptr;
}
bool NNArithmeticGradientNode::isKindOf(const detail::ObjectImpl& object) {
    return dynamic_cast<const ArithmeticGradientNode*>(&object) != nullptr;
}
bool NNAdditionNode::isKindOf(const detail::ObjectImpl& o) { return isForward(o, Operation::Add); }
bool NNSubtractionNode::isKindOf(const detail::ObjectImpl& o) {
    return isForward(o, Operation::Subtract);
}
bool NNMultiplicationNode::isKindOf(const detail::ObjectImpl& o) {
    return isForward(o, Operation::Multiply);
}
bool NNDivisionNode::isKindOf(const detail::ObjectImpl& o) {
    return isForward(o, Operation::Divide);
}
bool NNComparisonNode::isKindOf(const detail::ObjectImpl& o) {
    return isForward(o, Operation::Compare);
}
bool NNAdditionGradientNode::isKindOf(const detail::ObjectImpl& o) {
    return isGradientOf(o, Operation::Add);
}
bool NNSubtractionGradientNode::isKindOf(const detail::ObjectImpl& o) {
    return isGradientOf(o, Operation::Subtract);
}
bool NNMultiplicationGradientNode::isKindOf(const detail::ObjectImpl& o) {
    return isGradientOf(o, Operation::Multiply);
}

} // namespace mpsvk::MPS
