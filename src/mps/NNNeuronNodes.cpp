#include "mps/CNNNeuron.hpp"
#include "mps/Image.hpp"
#include "mps/NNNodeClasses.hpp"

#include <mpsvk/MPS/NNNeuronNodes.hpp>

namespace mpsvk::MPS {

namespace {

struct NeuronNode : NNFilterNode::Impl {
    NeuronNode(const char* name, const NNImageNode& source, NNNeuronDescriptor d)
        : Impl(name, {source}), descriptor(std::move(d)) {
        addResultState(StateNodeKind::Gradient);
    }
    std::unique_ptr<mps::Stage> makeStage(const MTL::Device& device) const override {
        return std::make_unique<mps::UnaryStage<CNNNeuron>>(CNNNeuron(device, descriptor));
    }
    const NNNeuronDescriptor* neuron() const override { return &descriptor; }
    std::vector<NNFilterNode> makeGradients(const std::vector<NNImageNode>& gradients) override {
        return {CNNNeuronGradientNode(gradients[0], sources[0], state(0).as<NNGradientStateNode>(),
                                      descriptor)};
    }
    void archive(mps::Archive& archive) override { archive("descriptor", descriptor); }
    NNNeuronDescriptor descriptor;
};

/// Reads the activation's result, the last image, and no state: the activation is a part of another
/// node. Of two gradients before it, it takes the sum.
class ResultGradientStage : public mps::BinaryStage<CNNNeuronGradient> {
public:
    explicit ResultGradientStage(CNNNeuronGradient kernel) : BinaryStage(std::move(kernel)) {
        mps::NeuronAccess::readResult(kernel_);
    }
    mps::StageOutputs encode(const mps::StageInputs& in) override {
        mps::StageInputs own = in;
        own.padding = nullptr;
        own.images = {in.images.front(), in.images.back()};
        const ImageBatch added = in.images.size() > 2 ? in.images[1] : ImageBatch();
        const mps::Addends addends(kernel_, added);
        mps::StageOutputs out = BinaryStage::encode(own);
        markRead(added);
        return out;
    }
};

struct NeuronGradientNode : NNFilterNode::Impl {
    NeuronGradientNode(const NNImageNode& gradient, const NNImageNode& source,
                       const NNStateNode& state, NNNeuronDescriptor d)
        : Impl("CNNNeuronGradientNode", {gradient, source}, {state}), descriptor(std::move(d)) {}
    bool isGradient() const override { return true; }
    const NNNeuronDescriptor* neuronOfGradient() const override { return &descriptor; }
    std::unique_ptr<mps::Stage> makeStage(const MTL::Device& device) const override {
        return std::make_unique<mps::GradientStage<CNNNeuronGradient>>(
            CNNNeuronGradient(device, descriptor));
    }
    std::unique_ptr<mps::Stage> makeStageWithDerivative(const MTL::Device& device,
                                                        const NNNeuronDescriptor&,
                                                        bool) const override {
        return makeResultGradientStage(device, descriptor);
    }
    void archive(mps::Archive& archive) override { archive("descriptor", descriptor); }
    NNNeuronDescriptor descriptor;
};

const NNNeuronDescriptor& descriptorOf(const NNFilterNode& node) {
    return static_cast<const NeuronNode&>(node.impl()).descriptor;
}

/// The class of nodes for a function.
const char* classOf(CNNNeuronType type) {
    constexpr const char* names[] = {
        "CNNNeuronNode",         "CNNNeuronReLUNode",        "CNNNeuronLinearNode",
        "CNNNeuronSigmoidNode",  "CNNNeuronHardSigmoidNode", "CNNNeuronTanHNode",
        "CNNNeuronAbsoluteNode", "CNNNeuronSoftPlusNode",    "CNNNeuronSoftSignNode",
        "CNNNeuronELUNode",      "CNNNeuronPReLUNode",       "CNNNeuronReLUNNode",
        "CNNNeuronPowerNode",    "CNNNeuronExponentialNode", "CNNNeuronLogarithmNode",
        "CNNNeuronGeLUNode"};
    return size_t(type) < std::size(names) ? names[size_t(type)] : names[0];
}

bool isNamed(const detail::ObjectImpl& object, const char* className) {
    const auto* node = dynamic_cast<const NeuronNode*>(&object);
    return node && node->className == className;
}

} // namespace

std::unique_ptr<mps::Stage> makeResultGradientStage(const MTL::Device& device,
                                                    const NNNeuronDescriptor& neuron) {
    return std::make_unique<ResultGradientStage>(CNNNeuronGradient(device, neuron));
}

CNNNeuronNode::CNNNeuronNode(const NNImageNode& source, const NNNeuronDescriptor& descriptor)
    : CNNNeuronNode(classOf(descriptor.neuronType()), source, descriptor) {}
CNNNeuronNode::CNNNeuronNode(const char* className, const NNImageNode& source,
                             const NNNeuronDescriptor& descriptor)
    : NNFilterNode(std::make_shared<NeuronNode>(className, source, descriptor)) {}
float CNNNeuronNode::a() const { return descriptorOf(*this).a(); }
float CNNNeuronNode::b() const { return descriptorOf(*this).b(); }
float CNNNeuronNode::c() const { return descriptorOf(*this).c(); }

using Type = CNNNeuronType;
using Descriptor = NNNeuronDescriptor;

CNNNeuronAbsoluteNode::CNNNeuronAbsoluteNode(const NNImageNode& source)
    : CNNNeuronNode("CNNNeuronAbsoluteNode", source, Descriptor(Type::Absolute)) {}
CNNNeuronELUNode::CNNNeuronELUNode(const NNImageNode& source, float a)
    : CNNNeuronNode("CNNNeuronELUNode", source, Descriptor(Type::ELU, a)) {}
CNNNeuronReLUNNode::CNNNeuronReLUNNode(const NNImageNode& source, float a, float b)
    : CNNNeuronNode("CNNNeuronReLUNNode", source, Descriptor(Type::ReLUN, a, b)) {}
CNNNeuronLinearNode::CNNNeuronLinearNode(const NNImageNode& source, float a, float b)
    : CNNNeuronNode("CNNNeuronLinearNode", source, Descriptor(Type::Linear, a, b)) {}
CNNNeuronReLUNode::CNNNeuronReLUNode(const NNImageNode& source, float a)
    : CNNNeuronNode("CNNNeuronReLUNode", source, Descriptor(Type::ReLU, a)) {}
CNNNeuronSigmoidNode::CNNNeuronSigmoidNode(const NNImageNode& source)
    : CNNNeuronNode("CNNNeuronSigmoidNode", source, Descriptor(Type::Sigmoid)) {}
CNNNeuronHardSigmoidNode::CNNNeuronHardSigmoidNode(const NNImageNode& source, float a, float b)
    : CNNNeuronNode("CNNNeuronHardSigmoidNode", source, Descriptor(Type::HardSigmoid, a, b)) {}
CNNNeuronSoftPlusNode::CNNNeuronSoftPlusNode(const NNImageNode& source, float a, float b)
    : CNNNeuronNode("CNNNeuronSoftPlusNode", source, Descriptor(Type::SoftPlus, a, b)) {}
CNNNeuronSoftSignNode::CNNNeuronSoftSignNode(const NNImageNode& source)
    : CNNNeuronNode("CNNNeuronSoftSignNode", source, Descriptor(Type::SoftSign)) {}
CNNNeuronTanHNode::CNNNeuronTanHNode(const NNImageNode& source, float a, float b)
    : CNNNeuronNode("CNNNeuronTanHNode", source, Descriptor(Type::TanH, a, b)) {}
CNNNeuronPReLUNode::CNNNeuronPReLUNode(const NNImageNode& source, std::span<const float> aData)
    : CNNNeuronNode("CNNNeuronPReLUNode", source, Descriptor::cnnNeuronPReLUDescriptor(aData)) {}
CNNNeuronPowerNode::CNNNeuronPowerNode(const NNImageNode& source, float a, float b, float c)
    : CNNNeuronNode("CNNNeuronPowerNode", source, Descriptor(Type::Power, a, b, c)) {}
CNNNeuronExponentialNode::CNNNeuronExponentialNode(const NNImageNode& source, float a, float b,
                                                   float c)
    : CNNNeuronNode("CNNNeuronExponentialNode", source, Descriptor(Type::Exponential, a, b, c)) {}
CNNNeuronLogarithmNode::CNNNeuronLogarithmNode(const NNImageNode& source, float a, float b, float c)
    : CNNNeuronNode("CNNNeuronLogarithmNode", source, Descriptor(Type::Logarithm, a, b, c)) {}
CNNNeuronGeLUNode::CNNNeuronGeLUNode(const NNImageNode& source)
    : CNNNeuronNode("CNNNeuronGeLUNode", source, Descriptor(Type::GeLU)) {}

CNNNeuronGradientNode::CNNNeuronGradientNode(const NNImageNode& gradient, const NNImageNode& source,
                                             const NNGradientStateNode& state,
                                             const NNNeuronDescriptor& descriptor)
    : NNGradientFilterNode(
          std::make_shared<NeuronGradientNode>(gradient, source, state, descriptor)) {}

NNNeuronDescriptor CNNNeuronGradientNode::descriptor() const {
    return static_cast<const NeuronGradientNode&>(impl()).descriptor;
}

using detail::ObjectImpl;
bool CNNNeuronNode::isKindOf(const ObjectImpl& o) {
    return dynamic_cast<const NeuronNode*>(&o) != nullptr;
}
bool CNNNeuronGradientNode::isKindOf(const ObjectImpl& o) {
    return dynamic_cast<const NeuronGradientNode*>(&o) != nullptr;
}
bool CNNNeuronAbsoluteNode::isKindOf(const ObjectImpl& o) {
    return isNamed(o, "CNNNeuronAbsoluteNode");
}
bool CNNNeuronELUNode::isKindOf(const ObjectImpl& o) { return isNamed(o, "CNNNeuronELUNode"); }
bool CNNNeuronReLUNNode::isKindOf(const ObjectImpl& o) { return isNamed(o, "CNNNeuronReLUNNode"); }
bool CNNNeuronLinearNode::isKindOf(const ObjectImpl& o) {
    return isNamed(o, "CNNNeuronLinearNode");
}
bool CNNNeuronReLUNode::isKindOf(const ObjectImpl& o) { return isNamed(o, "CNNNeuronReLUNode"); }
bool CNNNeuronSigmoidNode::isKindOf(const ObjectImpl& o) {
    return isNamed(o, "CNNNeuronSigmoidNode");
}
bool CNNNeuronHardSigmoidNode::isKindOf(const ObjectImpl& o) {
    return isNamed(o, "CNNNeuronHardSigmoidNode");
}
bool CNNNeuronSoftPlusNode::isKindOf(const ObjectImpl& o) {
    return isNamed(o, "CNNNeuronSoftPlusNode");
}
bool CNNNeuronSoftSignNode::isKindOf(const ObjectImpl& o) {
    return isNamed(o, "CNNNeuronSoftSignNode");
}
bool CNNNeuronTanHNode::isKindOf(const ObjectImpl& o) { return isNamed(o, "CNNNeuronTanHNode"); }
bool CNNNeuronPReLUNode::isKindOf(const ObjectImpl& o) { return isNamed(o, "CNNNeuronPReLUNode"); }
bool CNNNeuronPowerNode::isKindOf(const ObjectImpl& o) { return isNamed(o, "CNNNeuronPowerNode"); }
bool CNNNeuronExponentialNode::isKindOf(const ObjectImpl& o) {
    return isNamed(o, "CNNNeuronExponentialNode");
}
bool CNNNeuronLogarithmNode::isKindOf(const ObjectImpl& o) {
    return isNamed(o, "CNNNeuronLogarithmNode");
}
bool CNNNeuronGeLUNode::isKindOf(const ObjectImpl& o) { return isNamed(o, "CNNNeuronGeLUNode"); }

} // namespace mpsvk::MPS

namespace mpsvk::mps {

void addNeuronNodes(NodeClasses& all) {
    using namespace MPS;
    const NNNeuronDescriptor any(CNNNeuronType::None);
    for (int type = 0; type < int(CNNNeuronType::Count); ++type)
        all.addUnary<NeuronNode>(classOf(CNNNeuronType(type)), any);
    all.add("CNNNeuronGradientNode", [any](const NodeSources& from) {
        return std::make_shared<NeuronGradientNode>(from.image(0), from.image(1), from.state(0),
                                                    any);
    });
}

} // namespace mpsvk::mps
