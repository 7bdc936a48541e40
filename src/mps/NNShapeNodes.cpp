#include "mps/Concatenation.hpp"
#include "mps/NNNodeClasses.hpp"

#include <mpsvk/Error.hpp>
#include <mpsvk/MPS/NNGramMatrixCalculation.hpp>
#include <mpsvk/MPS/NNReshape.hpp>
#include <mpsvk/MPS/NNShapeNodes.hpp>

#include <algorithm>

namespace mpsvk::MPS {

namespace {

/// A forward node with one source whose gradient takes the state and nothing else.
template <class Gradient> struct ForwardNode : NNFilterNode::Impl {
    ForwardNode(const char* name, const NNImageNode& source) : Impl(name, {source}) {
        addResultState(StateNodeKind::Gradient);
    }
    std::vector<NNFilterNode> makeGradients(const std::vector<NNImageNode>& gradients) override {
        return {
            Gradient(gradients[0], sources[0], this->state(0).template as<NNGradientStateNode>())};
    }
};

struct GradientNode : NNFilterNode::Impl {
    GradientNode(const char* name, const NNImageNode& gradient, const NNImageNode& source,
                 const NNStateNode& state)
        : Impl(name, {gradient, source}, {state}) {}
    bool isGradient() const override { return true; }
};

struct Shape {
    uint64_t width, height, channels;
};

class ReshapeStage : public mps::UnaryStage<NNReshape> {
public:
    ReshapeStage(const MTL::Device& device, const Shape& shape)
        : UnaryStage(NNReshape(device)), shape_(shape) {}
    mps::StageOutputs encode(const mps::StageInputs& in) override {
        if (in.padding) kernel_.setPadding(in.padding);
        kernel_.setDestinationImageAllocator(in.allocator);
        mps::StageOutputs out;
        const auto& [width, height, channels] = shape_;
        if (in.isBatch) {
            out.images = kernel_.encodeBatch(in.commands, in.images[0],
                                             in.wantsStates ? &out.states : nullptr,
                                             in.temporaryStates, width, height, channels);
        } else {
            State state;
            out.images = {kernel_.encode(in.commands, in.images[0][0],
                                         in.wantsStates ? &state : nullptr, in.temporaryStates,
                                         width, height, channels)};
            if (state) out.states = {state};
        }
        return out;
    }

private:
    const Shape shape_;
};

struct ReshapeNode final : ForwardNode<NNReshapeGradientNode> {
    ReshapeNode(const char* name, const NNImageNode& source, const Shape& shape)
        : ForwardNode(name, source), shape(shape) {}
    std::unique_ptr<mps::Stage> makeStage(const MTL::Device& device) const override {
        return std::make_unique<ReshapeStage>(device, shape);
    }
    void archive(mps::Archive& archive) override {
        archive("resultWidth", shape.width);
        archive("resultHeight", shape.height);
        archive("resultFeatureChannels", shape.channels);
    }
    Shape shape;
};

struct ReshapeGradientNode final : GradientNode {
    using GradientNode::GradientNode;
    std::unique_ptr<mps::Stage> makeStage(const MTL::Device& device) const override {
        return std::make_unique<mps::GradientStage<NNReshapeGradient>>(NNReshapeGradient(device));
    }
};

struct PadNode final : ForwardNode<NNPadGradientNode> {
    PadNode(const char* name, const NNImageNode& source, const ImageCoordinate& before,
            const ImageCoordinate& after, ImageEdgeMode mode)
        : ForwardNode(name, source), before(before), after(after), mode(mode) {}
    std::unique_ptr<mps::Stage> makeStage(const MTL::Device& device) const override {
        NNPad kernel(device, before, after);
        kernel.setEdgeMode(mode);
        kernel.setFillValue(fillValue);
        return std::make_unique<mps::UnaryStage<NNPad>>(std::move(kernel));
    }
    void archive(mps::Archive& archive) override {
        archive("before.x", before.x);
        archive("before.y", before.y);
        archive("before.channel", before.channel);
        archive("after.x", after.x);
        archive("after.y", after.y);
        archive("after.channel", after.channel);
        archive("edgeMode", mode);
        archive("fillValue", fillValue);
    }
    ImageCoordinate before, after;
    ImageEdgeMode mode;
    float fillValue = 0;
};

struct PadGradientNode final : GradientNode {
    using GradientNode::GradientNode;
    std::unique_ptr<mps::Stage> makeStage(const MTL::Device& device) const override {
        return std::make_unique<mps::GradientStage<NNPadGradient>>(NNPadGradient(device));
    }
};

struct ConcatenationGradientNode final : GradientNode {
    ConcatenationGradientNode(const char* name, const NNImageNode& gradient,
                              const NNImageNode& source, const NNStateNode& state, size_t index)
        : GradientNode(name, gradient, source, state), index(index) {}
    std::unique_ptr<mps::Stage> makeStage(const MTL::Device& device) const override {
        return std::make_unique<mps::ConcatenationGradientStage>(device, index);
    }
    bool takesChannels() const override { return true; }
    void archive(mps::Archive& archive) override { archive("index", index); }
    uint64_t index;
};

struct ConcatenationNode final : NNFilterNode::Impl {
    explicit ConcatenationNode(const std::vector<NNImageNode>& images)
        : Impl("NNConcatenationNode", images) {
        if (images.empty())
            throw InvalidArgument("[NNConcatenationNode] A concatenation of no source was asked "
                                  "for.");
        addResultState(StateNodeKind::Gradient);
    }
    bool concatenates() const override { return true; }
    void check() const override {
        if (padding && uint64_t(padding->paddingMethod() & NNPaddingMethod::Custom))
            throw InvalidArgument(subject() + "The padding policy is a custom one but the sources "
                                              "alone give the result's size.");
    }
    std::unique_ptr<mps::Stage> makeStage(const MTL::Device& device) const override {
        return std::make_unique<mps::ConcatenationStage>(device);
    }
    std::vector<NNFilterNode> makeGradients(const std::vector<NNImageNode>& gradients) override {
        std::vector<NNFilterNode> made;
        for (size_t k = 0; k < sources.size(); ++k)
            made.push_back(NNFilterNode(std::make_shared<ConcatenationGradientNode>(
                "NNConcatenationGradientNode", gradients[0], sources[k], state(0), k)));
        return made;
    }
};

size_t placeOf(const NNImageNode& source, const NNStateNode& state) {
    const std::string who = "[NNConcatenationGradientNode] ";
    if (!state) throw InvalidArgument(who + "The gradient state node is empty.");
    const auto* forward = dynamic_cast<const ConcatenationNode*>(state.impl().producer);
    if (!forward)
        throw InvalidArgument(who + "gradientState is no result of an NNConcatenationNode.");
    const auto found = std::ranges::find(forward->sources, source);
    if (found == forward->sources.end())
        throw InvalidArgument(who + "sourceImage is none of the " +
                              std::to_string(forward->sources.size()) +
                              " sources of the concatenation.");
    return size_t(found - forward->sources.begin());
}

class GramStage : public mps::UnaryStage<NNGramMatrixCalculation> {
public:
    GramStage(NNGramMatrixCalculation kernel, std::shared_ptr<NNGramMatrixCallback> callback)
        : UnaryStage(std::move(kernel)), callback_(std::move(callback)) {}
    bool replays() const override { return !callback_; }
    mps::StageOutputs encode(const mps::StageInputs& in) override {
        if (!callback_) return UnaryStage::encode(in);
        mps::StageInputs asking = in;
        asking.allocator =
            std::make_shared<mps::AskingAllocator>(in.allocator, [&](const Image& made) {
                kernel_.setAlpha(callback_->alpha(in.images[0].at(0), made));
            });
        mps::StageOutputs out = UnaryStage::encode(asking);
        kernel_.setDestinationImageAllocator(in.allocator);
        return out;
    }

private:
    std::shared_ptr<NNGramMatrixCallback> callback_;
};

struct GramNode final : NNFilterNode::Impl {
    GramNode(const char* name, const NNImageNode& source, float alpha)
        : Impl(name, {source}), alpha(alpha) {
        addResultState(StateNodeKind::Gradient);
    }
    std::unique_ptr<mps::Stage> makeStage(const MTL::Device& device) const override {
        return std::make_unique<GramStage>(NNGramMatrixCalculation(device, alpha), callback);
    }
    std::vector<NNFilterNode> makeGradients(const std::vector<NNImageNode>& gradients) override {
        return {NNGramMatrixCalculationGradientNode(gradients[0], sources[0],
                                                    state(0).as<NNGradientStateNode>(), alpha)};
    }
    void archive(mps::Archive& archive) override {
        archive("alpha", alpha);
        archive.object("propertyCallBack", callback, "The propertyCallBack of a Gram matrix node");
    }
    float alpha;
    std::shared_ptr<NNGramMatrixCallback> callback;
};

struct GramGradientNode final : GradientNode {
    GramGradientNode(const char* name, const NNImageNode& gradient, const NNImageNode& source,
                     const NNStateNode& state, float alpha)
        : GradientNode(name, gradient, source, state), alpha(alpha) {}
    std::unique_ptr<mps::Stage> makeStage(const MTL::Device& device) const override {
        return std::make_unique<mps::GradientStage<NNGramMatrixCalculationGradient>>(
            NNGramMatrixCalculationGradient(device, alpha));
    }
    void archive(mps::Archive& archive) override { archive("alpha", alpha); }
    float alpha;
};

} // namespace

NNReshapeNode::NNReshapeNode(const NNImageNode& source, uint64_t width, uint64_t height,
                             uint64_t channels)
    : NNFilterNode(
          std::make_shared<ReshapeNode>("NNReshapeNode", source, Shape{width, height, channels})) {}
NNReshapeGradientNode::NNReshapeGradientNode(const NNImageNode& gradient, const NNImageNode& source,
                                             const NNGradientStateNode& state)
    : NNGradientFilterNode(std::make_shared<ReshapeGradientNode>("NNReshapeGradientNode", gradient,
                                                                 source, state)) {}

NNPadNode::NNPadNode(const NNImageNode& source, const ImageCoordinate& before,
                     const ImageCoordinate& after, ImageEdgeMode mode)
    : NNFilterNode(std::make_shared<PadNode>("NNPadNode", source, before, after, mode)) {}
float NNPadNode::fillValue() const { return static_cast<const PadNode&>(impl()).fillValue; }
void NNPadNode::setFillValue(float value) const { static_cast<PadNode&>(impl()).fillValue = value; }
NNPadGradientNode::NNPadGradientNode(const NNImageNode& gradient, const NNImageNode& source,
                                     const NNGradientStateNode& state)
    : NNGradientFilterNode(
          std::make_shared<PadGradientNode>("NNPadGradientNode", gradient, source, state)) {}

NNConcatenationNode::NNConcatenationNode(const std::vector<NNImageNode>& sources)
    : NNFilterNode(std::make_shared<ConcatenationNode>(sources)) {}
NNConcatenationGradientNode::NNConcatenationGradientNode(const NNImageNode& gradient,
                                                         const NNImageNode& source,
                                                         const NNGradientStateNode& state)
    : NNGradientFilterNode(std::make_shared<ConcatenationGradientNode>(
          "NNConcatenationGradientNode", gradient, source, state, placeOf(source, state))) {}

NNGramMatrixCalculationNode::NNGramMatrixCalculationNode(const NNImageNode& source, float alpha)
    : NNFilterNode(std::make_shared<GramNode>("NNGramMatrixCalculationNode", source, alpha)) {}
float NNGramMatrixCalculationNode::alpha() const {
    return static_cast<const GramNode&>(impl()).alpha;
}
std::shared_ptr<NNGramMatrixCallback> NNGramMatrixCalculationNode::propertyCallBack() const {
    return static_cast<const GramNode&>(impl()).callback;
}
void NNGramMatrixCalculationNode::setPropertyCallBack(
    std::shared_ptr<NNGramMatrixCallback> callback) const {
    static_cast<GramNode&>(impl()).callback = std::move(callback);
}
NNGramMatrixCalculationGradientNode::NNGramMatrixCalculationGradientNode(
    const NNImageNode& gradient, const NNImageNode& source, const NNGradientStateNode& state,
    float alpha)
    : NNGradientFilterNode(std::make_shared<GramGradientNode>("NNGramMatrixCalculationGradientNode",
                                                              gradient, source, state, alpha)) {}
float NNGramMatrixCalculationGradientNode::alpha() const {
    return static_cast<const GramGradientNode&>(impl()).alpha;
}

using detail::ObjectImpl;
bool NNReshapeNode::isKindOf(const ObjectImpl& o) { return isAny<ReshapeNode>(o); }
bool NNReshapeGradientNode::isKindOf(const ObjectImpl& o) { return isAny<ReshapeGradientNode>(o); }
bool NNPadNode::isKindOf(const ObjectImpl& o) { return isAny<PadNode>(o); }
bool NNPadGradientNode::isKindOf(const ObjectImpl& o) { return isAny<PadGradientNode>(o); }
bool NNConcatenationNode::isKindOf(const ObjectImpl& o) { return isAny<ConcatenationNode>(o); }
bool NNConcatenationGradientNode::isKindOf(const ObjectImpl& o) {
    return isAny<ConcatenationGradientNode>(o);
}
bool NNGramMatrixCalculationNode::isKindOf(const ObjectImpl& o) { return isAny<GramNode>(o); }
bool NNGramMatrixCalculationGradientNode::isKindOf(const ObjectImpl& o) {
    return isAny<GramGradientNode>(o);
}

} // namespace mpsvk::MPS

namespace mpsvk::mps {

void addShapeNodes(NodeClasses& all) {
    using namespace MPS;
    const ImageCoordinate none{};
    const uint64_t first = 0;
    all.addUnary<ReshapeNode>("NNReshapeNode", Shape{1, 1, 1});
    all.addUnary<PadNode>("NNPadNode", none, none, ImageEdgeMode::Zero);
    all.addUnary<GramNode>("NNGramMatrixCalculationNode", 1.0f);
    all.add("NNConcatenationNode", [](const NodeSources& from) {
        return std::make_shared<ConcatenationNode>(from.images());
    });
    all.addGradient<ReshapeGradientNode>("NNReshapeGradientNode");
    all.addGradient<PadGradientNode>("NNPadGradientNode");
    all.addGradient<GramGradientNode>("NNGramMatrixCalculationGradientNode", 1.0f);
    all.addGradient<ConcatenationGradientNode>("NNConcatenationGradientNode", first);
}

} // namespace mpsvk::mps
