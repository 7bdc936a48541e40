#include "mps/CNNNeuron.hpp"
#include "mps/NNNodeClasses.hpp"

#include <mpsvk/MPS/NNLayerNodes.hpp>

namespace mpsvk::MPS {

namespace {

template <class Kernel, class Gradient> struct SoftMaxNode final : NNFilterNode::Impl {
    SoftMaxNode(const char* name, const NNImageNode& source) : Impl(name, {source}) {
        addResultState(StateNodeKind::Gradient);
    }
    std::unique_ptr<mps::Stage> makeStage(const MTL::Device& device) const override {
        return std::make_unique<mps::UnaryStage<Kernel>>(Kernel(device));
    }
    std::vector<NNFilterNode> makeGradients(const std::vector<NNImageNode>& gradients) override {
        return {Gradient(gradients[0], result(), state(0).template as<NNGradientStateNode>())};
    }
};

template <class Kernel> struct SoftMaxGradientNode final : NNFilterNode::Impl {
    SoftMaxGradientNode(const char* name, const NNImageNode& gradient, const NNImageNode& image,
                        const NNStateNode& state)
        : Impl(name, {gradient, image}, {state}) {}
    bool isGradient() const override { return true; }
    std::unique_ptr<mps::Stage> makeStage(const MTL::Device& device) const override {
        return std::make_unique<mps::GradientStage<Kernel>>(Kernel(device));
    }
};

using SoftMax = SoftMaxNode<CNNSoftMax, CNNSoftMaxGradientNode>;
using LogSoftMax = SoftMaxNode<CNNLogSoftMax, CNNLogSoftMaxGradientNode>;
using SoftMaxGradient = SoftMaxGradientNode<CNNSoftMaxGradient>;
using LogSoftMaxGradient = SoftMaxGradientNode<CNNLogSoftMaxGradient>;

struct DropoutSettings {
    float keepProbability;
    uint64_t seed;
    MTL::Size maskStride;
};

class DropoutStage : public mps::UnaryStage<CNNDropout> {
public:
    using UnaryStage::UnaryStage;
    bool countsEncodes() const override { return true; }
    void setEncodeCount(uint64_t count) override { kernel_.setEncodeCount(count); }
};

struct DropoutBase : NNFilterNode::Impl {
    DropoutBase(const char* name, std::vector<NNImageNode> images, std::vector<NNStateNode> states,
                const DropoutSettings& settings)
        : Impl(name, std::move(images), std::move(states)), settings(settings) {}
    void archive(mps::Archive& archive) override {
        archive("keepProbability", settings.keepProbability);
        archive("seed", settings.seed);
        archive("maskStrideInPixels", settings.maskStride);
    }
    DropoutSettings settings;
};

struct DropoutNode final : DropoutBase {
    DropoutNode(const NNImageNode& source, const DropoutSettings& s)
        : DropoutBase("CNNDropoutNode", {source}, {}, s) {
        addResultState(StateNodeKind::Gradient);
    }
    std::unique_ptr<mps::Stage> makeStage(const MTL::Device& device) const override {
        return std::make_unique<DropoutStage>(
            CNNDropout(device, settings.keepProbability, settings.seed, settings.maskStride));
    }
    std::vector<NNFilterNode> makeGradients(const std::vector<NNImageNode>& gradients) override {
        return {CNNDropoutGradientNode(gradients[0], sources[0], state(0).as<NNGradientStateNode>(),
                                       settings.keepProbability, settings.seed,
                                       settings.maskStride)};
    }
};

struct DropoutGradientNode final : DropoutBase {
    DropoutGradientNode(const NNImageNode& gradient, const NNImageNode& source,
                        const NNStateNode& state, const DropoutSettings& s)
        : DropoutBase("CNNDropoutGradientNode", {gradient, source}, {state}, s) {}
    bool isGradient() const override { return true; }
    std::unique_ptr<mps::Stage> makeStage(const MTL::Device& device) const override {
        return std::make_unique<mps::GradientStage<CNNDropoutGradient>>(kernel(device));
    }
    bool takesDerivative(bool) const override { return true; }
    std::unique_ptr<mps::Stage> makeStageWithDerivative(const MTL::Device& device,
                                                        const NNNeuronDescriptor& neuron,
                                                        bool fromResult) const override {
        auto made = kernel(device);
        mps::NeuronAccess::setNeuron(made, neuron, fromResult);
        return std::make_unique<mps::GradientStage<CNNDropoutGradient>>(std::move(made));
    }
    CNNDropoutGradient kernel(const MTL::Device& device) const {
        return {device, settings.keepProbability, settings.seed, settings.maskStride};
    }
};

const DropoutSettings& settingsOf(const NNFilterNode& node) {
    return static_cast<const DropoutBase&>(node.impl()).settings;
}

} // namespace

CNNSoftMaxNode::CNNSoftMaxNode(const NNImageNode& source)
    : NNFilterNode(std::make_shared<SoftMax>("CNNSoftMaxNode", source)) {}
CNNLogSoftMaxNode::CNNLogSoftMaxNode(const NNImageNode& source)
    : NNFilterNode(std::make_shared<LogSoftMax>("CNNLogSoftMaxNode", source)) {}
CNNSoftMaxGradientNode::CNNSoftMaxGradientNode(const NNImageNode& gradient,
                                               const NNImageNode& image,
                                               const NNGradientStateNode& state)
    : NNGradientFilterNode(
          std::make_shared<SoftMaxGradient>("CNNSoftMaxGradientNode", gradient, image, state)) {}
CNNLogSoftMaxGradientNode::CNNLogSoftMaxGradientNode(const NNImageNode& gradient,
                                                     const NNImageNode& image,
                                                     const NNGradientStateNode& state)
    : NNGradientFilterNode(std::make_shared<LogSoftMaxGradient>("CNNLogSoftMaxGradientNode",
                                                                gradient, image, state)) {}

CNNDropoutNode::CNNDropoutNode(const NNImageNode& source, float keepProbability, uint64_t seed,
                               const MTL::Size& maskStride)
    : NNFilterNode(std::make_shared<DropoutNode>(
          source, DropoutSettings{keepProbability, seed, maskStride})) {}
float CNNDropoutNode::keepProbability() const { return settingsOf(*this).keepProbability; }
uint64_t CNNDropoutNode::seed() const { return settingsOf(*this).seed; }
MTL::Size CNNDropoutNode::maskStrideInPixels() const { return settingsOf(*this).maskStride; }

CNNDropoutGradientNode::CNNDropoutGradientNode(const NNImageNode& gradient,
                                               const NNImageNode& source,
                                               const NNGradientStateNode& state,
                                               float keepProbability, uint64_t seed,
                                               const MTL::Size& maskStride)
    : NNGradientFilterNode(std::make_shared<DropoutGradientNode>(
          gradient, source, state, DropoutSettings{keepProbability, seed, maskStride})) {}
float CNNDropoutGradientNode::keepProbability() const { return settingsOf(*this).keepProbability; }
uint64_t CNNDropoutGradientNode::seed() const { return settingsOf(*this).seed; }
MTL::Size CNNDropoutGradientNode::maskStrideInPixels() const {
    return settingsOf(*this).maskStride;
}

using detail::ObjectImpl;
bool CNNSoftMaxNode::isKindOf(const ObjectImpl& o) { return isAny<SoftMax>(o); }
bool CNNLogSoftMaxNode::isKindOf(const ObjectImpl& o) { return isAny<LogSoftMax>(o); }
bool CNNSoftMaxGradientNode::isKindOf(const ObjectImpl& o) { return isAny<SoftMaxGradient>(o); }
bool CNNLogSoftMaxGradientNode::isKindOf(const ObjectImpl& o) {
    return isAny<LogSoftMaxGradient>(o);
}
bool CNNDropoutNode::isKindOf(const ObjectImpl& o) { return isAny<DropoutNode>(o); }
bool CNNDropoutGradientNode::isKindOf(const ObjectImpl& o) { return isAny<DropoutGradientNode>(o); }

} // namespace mpsvk::MPS

namespace mpsvk::mps {

void addLayerNodes(NodeClasses& all) {
    using namespace MPS;
    all.addUnary<SoftMax>("CNNSoftMaxNode");
    all.addUnary<LogSoftMax>("CNNLogSoftMaxNode");
    all.addGradient<SoftMaxGradient>("CNNSoftMaxGradientNode");
    all.addGradient<LogSoftMaxGradient>("CNNLogSoftMaxGradientNode");
    const DropoutSettings any{0.5f, 0, {1, 1, 1}};
    all.add("CNNDropoutNode", [any](const NodeSources& from) {
        return std::make_shared<DropoutNode>(from.image(0), any);
    });
    all.add("CNNDropoutGradientNode", [any](const NodeSources& from) {
        return std::make_shared<DropoutGradientNode>(from.image(0), from.image(1), from.state(0),
                                                     any);
    });
}

} // namespace mpsvk::mps
