#include "mps/NNNodeClasses.hpp"
#include "mps/NNReduceSpatialMean.hpp"

#include <mpsvk/MPS/NNReductionNodes.hpp>

namespace mpsvk::MPS {

namespace {

struct ReductionNode : NNFilterNode::Impl {
    ReductionNode(const char* name, const NNImageNode& source) : Impl(name, {source}) {}
    void archive(mps::Archive& archive) override {
        archive("clipRectSource", clipRectSource);
        archive("weight", weight);
    }
    MTL::Region clipRectSource = RectNoClip;
    float weight = 1; ///< of a sum over feature channels
};

template <class Kernel> struct ReductionOf : ReductionNode {
    using ReductionNode::ReductionNode;
    std::unique_ptr<mps::Stage> makeStage(const MTL::Device& device) const override {
        Kernel kernel(device);
        kernel.setClipRectSource(clipRectSource);
        if constexpr (requires { kernel.setWeight(weight); }) kernel.setWeight(weight);
        return std::make_unique<mps::UnaryStage<Kernel>>(std::move(kernel));
    }
};

struct SpatialMeanNode final : ReductionOf<mps::NNReduceSpatialMean> {
    explicit SpatialMeanNode(const NNImageNode& source)
        : ReductionOf("NNReductionSpatialMeanNode", source) {
        addResultState(StateNodeKind::Gradient);
    }
    std::vector<NNFilterNode> makeGradients(const std::vector<NNImageNode>& gradients) override {
        return {NNReductionSpatialMeanGradientNode(gradients[0], sources[0],
                                                   state(0).as<NNGradientStateNode>())};
    }
};

struct SpatialMeanGradientNode final : NNFilterNode::Impl {
    SpatialMeanGradientNode(const NNImageNode& gradient, const NNImageNode& source,
                            const NNStateNode& state)
        : Impl("NNReductionSpatialMeanGradientNode", {gradient, source}, {state}) {}
    bool isGradient() const override { return true; }
    std::unique_ptr<mps::Stage> makeStage(const MTL::Device& device) const override {
        return std::make_unique<mps::GradientStage<mps::NNReduceSpatialMeanGradient>>(
            mps::NNReduceSpatialMeanGradient(device));
    }
};

ReductionNode& of(const NNFilterNode& node) { return static_cast<ReductionNode&>(node.impl()); }

template <class Kernel>
std::shared_ptr<ReductionNode> reduction(const char* name, const NNImageNode& source) {
    return std::make_shared<ReductionOf<Kernel>>(name, source);
}

} // namespace

MTL::Region NNUnaryReductionNode::clipRectSource() const { return of(*this).clipRectSource; }
void NNUnaryReductionNode::setClipRectSource(const MTL::Region& rect) const {
    of(*this).clipRectSource = rect;
}
float NNReductionFeatureChannelsSumNode::weight() const { return of(*this).weight; }
void NNReductionFeatureChannelsSumNode::setWeight(float weight) const { of(*this).weight = weight; }

NNReductionRowMinNode::NNReductionRowMinNode(const NNImageNode& source)
    : NNUnaryReductionNode(reduction<NNReduceRowMin>("NNReductionRowMinNode", source)) {}
NNReductionColumnMinNode::NNReductionColumnMinNode(const NNImageNode& source)
    : NNUnaryReductionNode(reduction<NNReduceColumnMin>("NNReductionColumnMinNode", source)) {}
NNReductionFeatureChannelsMinNode::NNReductionFeatureChannelsMinNode(const NNImageNode& source)
    : NNUnaryReductionNode(
          reduction<NNReduceFeatureChannelsMin>("NNReductionFeatureChannelsMinNode", source)) {}
NNReductionRowMaxNode::NNReductionRowMaxNode(const NNImageNode& source)
    : NNUnaryReductionNode(reduction<NNReduceRowMax>("NNReductionRowMaxNode", source)) {}
NNReductionColumnMaxNode::NNReductionColumnMaxNode(const NNImageNode& source)
    : NNUnaryReductionNode(reduction<NNReduceColumnMax>("NNReductionColumnMaxNode", source)) {}
NNReductionFeatureChannelsMaxNode::NNReductionFeatureChannelsMaxNode(const NNImageNode& source)
    : NNUnaryReductionNode(
          reduction<NNReduceFeatureChannelsMax>("NNReductionFeatureChannelsMaxNode", source)) {}
NNReductionRowMeanNode::NNReductionRowMeanNode(const NNImageNode& source)
    : NNUnaryReductionNode(reduction<NNReduceRowMean>("NNReductionRowMeanNode", source)) {}
NNReductionColumnMeanNode::NNReductionColumnMeanNode(const NNImageNode& source)
    : NNUnaryReductionNode(reduction<NNReduceColumnMean>("NNReductionColumnMeanNode", source)) {}
NNReductionFeatureChannelsMeanNode::NNReductionFeatureChannelsMeanNode(const NNImageNode& source)
    : NNUnaryReductionNode(
          reduction<NNReduceFeatureChannelsMean>("NNReductionFeatureChannelsMeanNode", source)) {}
NNReductionRowSumNode::NNReductionRowSumNode(const NNImageNode& source)
    : NNUnaryReductionNode(reduction<NNReduceRowSum>("NNReductionRowSumNode", source)) {}
NNReductionColumnSumNode::NNReductionColumnSumNode(const NNImageNode& source)
    : NNUnaryReductionNode(reduction<NNReduceColumnSum>("NNReductionColumnSumNode", source)) {}
NNReductionFeatureChannelsSumNode::NNReductionFeatureChannelsSumNode(const NNImageNode& source)
    : NNUnaryReductionNode(
          reduction<NNReduceFeatureChannelsSum>("NNReductionFeatureChannelsSumNode", source)) {}
NNReductionFeatureChannelsArgumentMinNode::NNReductionFeatureChannelsArgumentMinNode(
    const NNImageNode& source)
    : NNUnaryReductionNode(reduction<NNReduceFeatureChannelsArgumentMin>(
          "NNReductionFeatureChannelsArgumentMinNode", source)) {}
NNReductionFeatureChannelsArgumentMaxNode::NNReductionFeatureChannelsArgumentMaxNode(
    const NNImageNode& source)
    : NNUnaryReductionNode(reduction<NNReduceFeatureChannelsArgumentMax>(
          "NNReductionFeatureChannelsArgumentMaxNode", source)) {}
NNReductionSpatialMeanNode::NNReductionSpatialMeanNode(const NNImageNode& source)
    : NNUnaryReductionNode(std::make_shared<SpatialMeanNode>(source)) {}
NNReductionSpatialMeanGradientNode::NNReductionSpatialMeanGradientNode(
    const NNImageNode& gradient, const NNImageNode& source, const NNGradientStateNode& state)
    : NNGradientFilterNode(std::make_shared<SpatialMeanGradientNode>(gradient, source, state)) {}

using detail::ObjectImpl;
bool NNUnaryReductionNode::isKindOf(const ObjectImpl& o) { return isAny<ReductionNode>(o); }
bool NNReductionRowMinNode::isKindOf(const ObjectImpl& o) {
    return isAny<ReductionOf<NNReduceRowMin>>(o);
}
bool NNReductionColumnMinNode::isKindOf(const ObjectImpl& o) {
    return isAny<ReductionOf<NNReduceColumnMin>>(o);
}
bool NNReductionFeatureChannelsMinNode::isKindOf(const ObjectImpl& o) {
    return isAny<ReductionOf<NNReduceFeatureChannelsMin>>(o);
}
bool NNReductionRowMaxNode::isKindOf(const ObjectImpl& o) {
    return isAny<ReductionOf<NNReduceRowMax>>(o);
}
bool NNReductionColumnMaxNode::isKindOf(const ObjectImpl& o) {
    return isAny<ReductionOf<NNReduceColumnMax>>(o);
}
bool NNReductionFeatureChannelsMaxNode::isKindOf(const ObjectImpl& o) {
    return isAny<ReductionOf<NNReduceFeatureChannelsMax>>(o);
}
bool NNReductionRowMeanNode::isKindOf(const ObjectImpl& o) {
    return isAny<ReductionOf<NNReduceRowMean>>(o);
}
bool NNReductionColumnMeanNode::isKindOf(const ObjectImpl& o) {
    return isAny<ReductionOf<NNReduceColumnMean>>(o);
}
bool NNReductionFeatureChannelsMeanNode::isKindOf(const ObjectImpl& o) {
    return isAny<ReductionOf<NNReduceFeatureChannelsMean>>(o);
}
bool NNReductionRowSumNode::isKindOf(const ObjectImpl& o) {
    return isAny<ReductionOf<NNReduceRowSum>>(o);
}
bool NNReductionColumnSumNode::isKindOf(const ObjectImpl& o) {
    return isAny<ReductionOf<NNReduceColumnSum>>(o);
}
bool NNReductionFeatureChannelsSumNode::isKindOf(const ObjectImpl& o) {
    return isAny<ReductionOf<NNReduceFeatureChannelsSum>>(o);
}
bool NNReductionFeatureChannelsArgumentMinNode::isKindOf(const ObjectImpl& o) {
    return isAny<ReductionOf<NNReduceFeatureChannelsArgumentMin>>(o);
}
bool NNReductionFeatureChannelsArgumentMaxNode::isKindOf(const ObjectImpl& o) {
    return isAny<ReductionOf<NNReduceFeatureChannelsArgumentMax>>(o);
}
bool NNReductionSpatialMeanNode::isKindOf(const ObjectImpl& o) { return isAny<SpatialMeanNode>(o); }
bool NNReductionSpatialMeanGradientNode::isKindOf(const ObjectImpl& o) {
    return isAny<SpatialMeanGradientNode>(o);
}

} // namespace mpsvk::MPS

namespace mpsvk::mps {

void addReductionNodes(NodeClasses& all) {
    using namespace MPS;
    all.addUnary<ReductionOf<NNReduceRowMin>>("NNReductionRowMinNode");
    all.addUnary<ReductionOf<NNReduceColumnMin>>("NNReductionColumnMinNode");
    all.addUnary<ReductionOf<NNReduceFeatureChannelsMin>>("NNReductionFeatureChannelsMinNode");
    all.addUnary<ReductionOf<NNReduceRowMax>>("NNReductionRowMaxNode");
    all.addUnary<ReductionOf<NNReduceColumnMax>>("NNReductionColumnMaxNode");
    all.addUnary<ReductionOf<NNReduceFeatureChannelsMax>>("NNReductionFeatureChannelsMaxNode");
    all.addUnary<ReductionOf<NNReduceRowMean>>("NNReductionRowMeanNode");
    all.addUnary<ReductionOf<NNReduceColumnMean>>("NNReductionColumnMeanNode");
    all.addUnary<ReductionOf<NNReduceFeatureChannelsMean>>("NNReductionFeatureChannelsMeanNode");
    all.addUnary<ReductionOf<NNReduceRowSum>>("NNReductionRowSumNode");
    all.addUnary<ReductionOf<NNReduceColumnSum>>("NNReductionColumnSumNode");
    all.addUnary<ReductionOf<NNReduceFeatureChannelsSum>>("NNReductionFeatureChannelsSumNode");
    all.addUnary<ReductionOf<NNReduceFeatureChannelsArgumentMin>>(
        "NNReductionFeatureChannelsArgumentMinNode");
    all.addUnary<ReductionOf<NNReduceFeatureChannelsArgumentMax>>(
        "NNReductionFeatureChannelsArgumentMaxNode");
    all.add("NNReductionSpatialMeanNode", [](const NodeSources& from) {
        return std::make_shared<SpatialMeanNode>(from.image(0));
    });
    all.add("NNReductionSpatialMeanGradientNode", [](const NodeSources& from) {
        return std::make_shared<SpatialMeanGradientNode>(from.image(0), from.image(1),
                                                         from.state(0));
    });
}

} // namespace mpsvk::mps
