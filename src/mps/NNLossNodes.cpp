#include "mps/NNNodeClasses.hpp"

#include <mpsvk/Error.hpp>
#include <mpsvk/MPS/NNLossNodes.hpp>

namespace mpsvk::MPS {

namespace {

using Images = std::vector<NNImageNode>;

NNStateNode labelsNode() {
    auto made = std::make_shared<NNStateNode::Impl>();
    made->kind = StateNodeKind::Labels;
    return NNStateNode(std::move(made));
}

Images withWeights(Images images, const std::optional<NNImageNode>& weights) {
    if (weights) images.push_back(*weights);
    return images;
}

/// CNNLoss or CNNYOLOLoss.
template <class Loss> class LossStage final : public mps::Stage {
public:
    explicit LossStage(Loss kernel) : kernel_(std::move(kernel)) {}
    Kernel& kernel() override { return kernel_; }
    mps::StageOutputs encode(const mps::StageInputs& in) override {
        if (in.padding) kernel_.setPadding(in.padding);
        kernel_.setDestinationImageAllocator(in.allocator);
        if (in.isBatch) return {kernel_.encodeBatch(in.commands, in.images[0], in.states[0]), {}};
        return {{kernel_.encode(in.commands, in.images[0][0], in.states[0][0].as<CNNLossLabels>())},
                {}};
    }

private:
    Loss kernel_;
};

using Callback = std::shared_ptr<NNLossCallback>;

/// Sets the weight once the destination is there, which comes before everything that uses it.
template <class Loss>
std::shared_ptr<ImageAllocator> allocatorOf(const mps::StageInputs& in, Loss& loss,
                                            const Callback& callback, const Image& source) {
    if (!callback) return in.allocator;
    return std::make_shared<mps::AskingAllocator>(in.allocator, [=, &loss](const Image& made) {
        loss.setWeight(callback->scalarWeight(source, made));
    });
}

class ForwardLossStage final : public mps::Stage {
public:
    ForwardLossStage(NNForwardLoss kernel, Callback callback)
        : kernel_(std::move(kernel)), callback_(std::move(callback)) {}
    Kernel& kernel() override { return kernel_; }
    bool replays() const override { return !callback_; }
    mps::StageOutputs encode(const mps::StageInputs& in) override {
        kernel_.setDestinationImageAllocator(
            allocatorOf(in, kernel_, callback_, in.images[0].at(0)));
        mps::StageOutputs out;
        out.images =
            kernel_.encodeBatch(in.commands, in.images[0], in.images[1],
                                in.images.size() > 2 ? in.images[2] : ImageBatch{},
                                in.wantsStates ? &out.states : nullptr, in.temporaryStates);
        return out;
    }

private:
    NNForwardLoss kernel_;
    Callback callback_;
};

class LossGradientStage final : public mps::Stage {
public:
    LossGradientStage(NNLossGradient kernel, Callback callback)
        : kernel_(std::move(kernel)), callback_(std::move(callback)) {}
    Kernel& kernel() override { return kernel_; }
    bool replays() const override { return !callback_; }
    mps::StageOutputs encode(const mps::StageInputs& in) override {
        kernel_.setDestinationImageAllocator(
            allocatorOf(in, kernel_, callback_, in.images[1].at(0)));
        const StateBatch states = in.states.empty() ? StateBatch{} : in.states[0];
        // A state's weight would count instead of the callback's; the rest is in the descriptor.
        mps::StageOutputs out{
            kernel_.encodeBatch(in.commands, in.images[0], in.images[1], in.images[2],
                                in.images.size() > 3 ? in.images[3] : ImageBatch{},
                                callback_ ? StateBatch{} : states),
            {}};
        if (callback_) markRead(states);
        return out;
    }

private:
    NNLossGradient kernel_;
    Callback callback_;
};

template <class Loss, class Descriptor> struct LabelledLossNode final : NNFilterNode::Impl {
    LabelledLossNode(const char* name, const NNImageNode& source, const Descriptor& d,
                     const NNStateNode& labels = labelsNode())
        : Impl(name, {source}, {labels}), descriptor(d) {}
    bool resultIsGradient() const override { return true; }
    std::unique_ptr<mps::Stage> makeStage(const MTL::Device& device) const override {
        return std::make_unique<LossStage<Loss>>(Loss(device, descriptor));
    }
    void archive(mps::Archive& archive) override { archive("descriptor", descriptor); }
    Descriptor descriptor;
};
using LossNode = LabelledLossNode<CNNLoss, CNNLossDescriptor>;
using YOLOLossNode = LabelledLossNode<CNNYOLOLoss, CNNYOLOLossDescriptor>;

struct LossPairNode : NNFilterNode::Impl {
    LossPairNode(const char* name, Images images, std::vector<NNStateNode> states,
                 const CNNLossDescriptor& d, size_t least)
        : Impl(name, std::move(images), std::move(states)), descriptor(d) {
        if (sources.size() < least || sources.size() > least + 1)
            throw InvalidArgument("[" + className + "] " + std::to_string(sources.size()) +
                                  " sources were given but there are " + std::to_string(least) +
                                  ", or " + std::to_string(least + 1) + " with weights.");
    }
    void archive(mps::Archive& archive) override {
        archive("descriptor", descriptor);
        archive.object("propertyCallBack", callback, "The propertyCallBack of a loss node");
    }
    CNNLossDescriptor descriptor;
    Callback callback;
};

struct ForwardLossNode final : LossPairNode {
    ForwardLossNode(Images images, const CNNLossDescriptor& d)
        : LossPairNode("NNForwardLossNode", std::move(images), {}, d, 2) {
        addResultState(StateNodeKind::Gradient);
    }
    std::unique_ptr<mps::Stage> makeStage(const MTL::Device& device) const override {
        return std::make_unique<ForwardLossStage>(NNForwardLoss(device, descriptor), callback);
    }
    std::vector<NNFilterNode> makeGradients(const Images& gradients) override {
        Images images = {gradients[0]};
        images.insert(images.end(), sources.begin(), sources.end());
        const auto gradientState = state(0).as<NNGradientStateNode>();
        return {NNLossGradientNode(images, gradientState, descriptor, false),
                NNLossGradientNode(images, gradientState, descriptor, true)};
    }
};

struct LossGradientNode final : LossPairNode {
    LossGradientNode(Images images, const std::optional<NNGradientStateNode>& state,
                     const CNNLossDescriptor& d, bool ofLabels)
        : LossPairNode("NNLossGradientNode", std::move(images),
                       state && *state ? std::vector<NNStateNode>{*state}
                                       : std::vector<NNStateNode>{},
                       d, 3),
          ofLabels(ofLabels) {}
    bool isGradient() const override { return true; }
    std::unique_ptr<mps::Stage> makeStage(const MTL::Device& device) const override {
        NNLossGradient kernel(device, descriptor);
        kernel.setComputeLabelGradients(ofLabels);
        return std::make_unique<LossGradientStage>(std::move(kernel), callback);
    }
    void archive(mps::Archive& archive) override {
        LossPairNode::archive(archive);
        archive("isLabelsGradientFilter", ofLabels);
    }
    bool ofLabels;
};

struct InitialGradientNode final : NNFilterNode::Impl {
    explicit InitialGradientNode(const NNImageNode& source)
        : Impl("NNInitialGradientNode", {source}) {}
    bool resultIsGradient() const override { return true; }
    std::unique_ptr<mps::Stage> makeStage(const MTL::Device& device) const override {
        return std::make_unique<mps::UnaryStage<NNInitialGradient>>(NNInitialGradient(device));
    }
};

Callback& callbackOf(const NNFilterNode& node) {
    return static_cast<LossPairNode&>(node.impl()).callback;
}

const CNNLossDescriptor& descriptorOf(const NNFilterNode& node) {
    return static_cast<const LossPairNode&>(node.impl()).descriptor;
}

} // namespace

CNNLossNode::CNNLossNode(const NNImageNode& source, const CNNLossDescriptor& descriptor)
    : NNFilterNode(std::make_shared<LossNode>("CNNLossNode", source, descriptor)) {}
NNLabelsNode CNNLossNode::inputLabels() const {
    return impl().sourceStates.at(0).as<NNLabelsNode>();
}

CNNYOLOLossNode::CNNYOLOLossNode(const NNImageNode& source, const CNNYOLOLossDescriptor& descriptor)
    : NNFilterNode(std::make_shared<YOLOLossNode>("CNNYOLOLossNode", source, descriptor)) {}
NNLabelsNode CNNYOLOLossNode::inputLabels() const {
    return impl().sourceStates.at(0).as<NNLabelsNode>();
}

NNForwardLossNode::NNForwardLossNode(const NNImageNode& source, const NNImageNode& labels,
                                     const std::optional<NNImageNode>& weights,
                                     const CNNLossDescriptor& descriptor)
    : NNForwardLossNode(withWeights({source, labels}, weights), descriptor) {}
NNForwardLossNode::NNForwardLossNode(const NNImageNode& source, const NNImageNode& labels,
                                     const CNNLossDescriptor& descriptor)
    : NNForwardLossNode(Images{source, labels}, descriptor) {}
NNForwardLossNode::NNForwardLossNode(const Images& sources, const CNNLossDescriptor& descriptor)
    : NNFilterNode(std::make_shared<ForwardLossNode>(sources, descriptor)) {}

NNFilterNode NNForwardLossNode::gradientFilter(const NNImageNode& source) const {
    return gradientFilters(source)[0];
}
NNFilterNode NNForwardLossNode::gradientFilter(const Images& sources) const {
    return gradientFilters(sources)[0];
}
CNNLossType NNForwardLossNode::lossType() const { return descriptorOf(*this).lossType(); }
CNNReductionType NNForwardLossNode::reductionType() const {
    return descriptorOf(*this).reductionType();
}
uint64_t NNForwardLossNode::numberOfClasses() const {
    return descriptorOf(*this).numberOfClasses();
}
bool NNForwardLossNode::reduceAcrossBatch() const {
    return descriptorOf(*this).reduceAcrossBatch();
}
float NNForwardLossNode::weight() const { return descriptorOf(*this).weight(); }
float NNForwardLossNode::labelSmoothing() const { return descriptorOf(*this).labelSmoothing(); }
float NNForwardLossNode::epsilon() const { return descriptorOf(*this).epsilon(); }
float NNForwardLossNode::delta() const { return descriptorOf(*this).delta(); }
Callback NNForwardLossNode::propertyCallBack() const { return callbackOf(*this); }
void NNForwardLossNode::setPropertyCallBack(Callback callback) const {
    callbackOf(*this) = std::move(callback);
}

NNLossGradientNode::NNLossGradientNode(const NNImageNode& gradient, const NNImageNode& source,
                                       const NNImageNode& labels,
                                       const std::optional<NNImageNode>& weights,
                                       const std::optional<NNGradientStateNode>& state,
                                       const CNNLossDescriptor& descriptor, bool ofLabels)
    : NNLossGradientNode(withWeights({gradient, source, labels}, weights), state, descriptor,
                         ofLabels) {}
NNLossGradientNode::NNLossGradientNode(const NNImageNode& gradient, const NNImageNode& source,
                                       const NNImageNode& labels,
                                       const std::optional<NNGradientStateNode>& state,
                                       const CNNLossDescriptor& descriptor, bool ofLabels)
    : NNLossGradientNode(Images{gradient, source, labels}, state, descriptor, ofLabels) {}
NNLossGradientNode::NNLossGradientNode(const Images& sources,
                                       const std::optional<NNGradientStateNode>& state,
                                       const CNNLossDescriptor& descriptor, bool ofLabels)
    : NNGradientFilterNode(
          std::make_shared<LossGradientNode>(sources, state, descriptor, ofLabels)) {}

bool NNLossGradientNode::isLabelsGradientFilter() const {
    return static_cast<const LossGradientNode&>(impl()).ofLabels;
}
CNNLossType NNLossGradientNode::lossType() const { return descriptorOf(*this).lossType(); }
CNNReductionType NNLossGradientNode::reductionType() const {
    return descriptorOf(*this).reductionType();
}
uint64_t NNLossGradientNode::numberOfClasses() const {
    return descriptorOf(*this).numberOfClasses();
}
bool NNLossGradientNode::reduceAcrossBatch() const {
    return descriptorOf(*this).reduceAcrossBatch();
}
float NNLossGradientNode::weight() const { return descriptorOf(*this).weight(); }
float NNLossGradientNode::labelSmoothing() const { return descriptorOf(*this).labelSmoothing(); }
float NNLossGradientNode::epsilon() const { return descriptorOf(*this).epsilon(); }
float NNLossGradientNode::delta() const { return descriptorOf(*this).delta(); }
Callback NNLossGradientNode::propertyCallBack() const { return callbackOf(*this); }
void NNLossGradientNode::setPropertyCallBack(Callback callback) const {
    callbackOf(*this) = std::move(callback);
}

NNInitialGradientNode::NNInitialGradientNode(const NNImageNode& source)
    : NNFilterNode(std::make_shared<InitialGradientNode>(source)) {}

using detail::ObjectImpl;
bool CNNLossNode::isKindOf(const ObjectImpl& o) { return isAny<LossNode>(o); }
bool CNNYOLOLossNode::isKindOf(const ObjectImpl& o) { return isAny<YOLOLossNode>(o); }
bool NNForwardLossNode::isKindOf(const ObjectImpl& o) { return isAny<ForwardLossNode>(o); }
bool NNLossGradientNode::isKindOf(const ObjectImpl& o) { return isAny<LossGradientNode>(o); }
bool NNInitialGradientNode::isKindOf(const ObjectImpl& o) { return isAny<InitialGradientNode>(o); }

} // namespace mpsvk::MPS

namespace mpsvk::mps {

void addLossNodes(NodeClasses& all) {
    using namespace MPS;
    const CNNLossDescriptor any(CNNLossType::MeanSquaredError, CNNReductionType::None);
    all.add("CNNLossNode", [any](const NodeSources& from) {
        return std::make_shared<LossNode>("CNNLossNode", from.image(0), any, from.state(0));
    });
    const float anchor[] = {1, 1};
    constexpr auto type = CNNLossType::MeanSquaredError;
    const CNNYOLOLossDescriptor anyGrid(type, type, type, type, CNNReductionType::Sum,
                                        std::span<const float>(anchor), 1);
    all.add("CNNYOLOLossNode", [anyGrid](const NodeSources& from) {
        return std::make_shared<YOLOLossNode>("CNNYOLOLossNode", from.image(0), anyGrid,
                                              from.state(0));
    });
    all.add("NNForwardLossNode", [any](const NodeSources& from) {
        return std::make_shared<ForwardLossNode>(from.images(), any);
    });
    all.add("NNLossGradientNode", [any](const NodeSources& from) {
        std::optional<NNGradientStateNode> state;
        if (!from.states().empty()) state = from.state(0).as<NNGradientStateNode>();
        return std::make_shared<LossGradientNode>(from.images(), state, any, false);
    });
    all.add("NNInitialGradientNode", [](const NodeSources& from) {
        return std::make_shared<InitialGradientNode>(from.image(0));
    });
}

} // namespace mpsvk::mps
