#include <mpsvk/MPS/NNGroupwiseNormalizationNodes.hpp>

#include "mps/CNNNormalizationWeights.hpp"
#include "mps/NNNodeClasses.hpp"

#include <mpsvk/Error.hpp>

namespace mpsvk::MPS {

namespace {

/// The classes of one kind of normalization.
struct Instance {
    using DataSource = CNNInstanceNormalizationDataSource;
    using Source = std::shared_ptr<DataSource>;
    using Kernel = CNNInstanceNormalization;
    using Gradient = CNNInstanceNormalizationGradient;
    using GradientNode = CNNInstanceNormalizationGradientNode;
    static constexpr const char *node = "CNNInstanceNormalizationNode",
                                *gradientNode = "CNNInstanceNormalizationGradientNode";
};
struct Group {
    using DataSource = CNNGroupNormalizationDataSource;
    using Source = std::shared_ptr<DataSource>;
    using Kernel = CNNGroupNormalization;
    using Gradient = CNNGroupNormalizationGradient;
    using GradientNode = CNNGroupNormalizationGradientNode;
    static constexpr const char *node = "CNNGroupNormalizationNode",
                                *gradientNode = "CNNGroupNormalizationGradientNode";
};

template <class Kind> class NormalizationStage : public mps::UnaryStage<typename Kind::Kernel> {
public:
    using mps::UnaryStage<typename Kind::Kernel>::UnaryStage;
    void takeParameters(mps::Stage& other) override {
        mps::NormalizationAccess::takeParameters(this->kernel_,
                                                 static_cast<NormalizationStage&>(other).kernel_);
    }
    const void* dataSource() const override { return this->kernel_.dataSource().get(); }
    void reloadFromDataSource() override { this->kernel_.reloadGammaAndBetaFromDataSource(); }
    mps::DeferredReload deferredReload() override {
        return mps::NormalizationAccess::deferredReload(this->kernel_);
    }
    bool reload(const MTL::CommandBuffer& commands, const State& state) override {
        this->kernel_.reloadGammaAndBeta(commands, state.as<CNNNormalizationGammaAndBetaState>());
        return false;
    }
};

/// Gamma comes with the gradient states: there is nothing to reload.
template <class Kind>
class NormalizationGradientStage : public mps::GradientStage<typename Kind::Gradient> {
public:
    NormalizationGradientStage(const MTL::Device& device, typename Kind::Source source,
                               bool trained)
        : mps::GradientStage<typename Kind::Gradient>(typename Kind::Gradient(device)),
          source_(std::move(source)), trained_(trained) {}
    const void* dataSource() const override { return source_.get(); }
    bool isTrainable() const override { return trained_; }
    StateBatch update(const MTL::CommandBuffer& commands, const StateBatch& gradients,
                      mps::Stage&) override {
        return {source_->updateGammaAndBeta(commands, gradients)};
    }
    bool updateOnHost(const StateBatch& gradients, mps::Stage&, const State&) override {
        return source_->updateGammaAndBeta(gradients);
    }

private:
    const typename Kind::Source source_;
    const bool trained_;
};

template <class Kind> struct NormalizationNode final : NNFilterNode::Impl {
    NormalizationNode(const NNImageNode& source, typename Kind::Source given)
        : Impl(Kind::node, {source}), dataSource(std::move(given)) {
        if (!dataSource) throw InvalidArgument("[" + className + "] The data source is null.");
        addResultState(StateNodeKind::Gradient);
        trainingStyle = NNTrainingStyle::UpdateDeviceGPU;
    }
    std::unique_ptr<mps::Stage> makeStage(const MTL::Device& device) const override {
        return std::make_unique<NormalizationStage<Kind>>(
            typename Kind::Kernel(device, dataSource));
    }
    std::vector<NNFilterNode> makeGradients(const std::vector<NNImageNode>& gradients) override {
        return {typename Kind::GradientNode(gradients[0], sources[0],
                                            state(0).template as<NNGradientStateNode>())};
    }
    void archive(mps::Archive& archive) override {
        archive.object("dataSource", dataSource, "The data source");
    }
    typename Kind::Source dataSource;
};

template <class Kind> struct NormalizationGradientNode final : NNFilterNode::Impl {
    NormalizationGradientNode(const NNImageNode& gradient, const NNImageNode& source,
                              const NNStateNode& state)
        : Impl(Kind::gradientNode, {gradient, source}, {state}) {
        const auto* forward =
            state ? dynamic_cast<const NormalizationNode<Kind>*>(state.impl().producer) : nullptr;
        if (!forward)
            throw InvalidArgument("[" + className + "] gradientState is not the state of a " +
                                  Kind::node + ".");
        dataSource = forward->dataSource;
        trainingStyle = NNTrainingStyle::UpdateDeviceGPU;
    }
    bool isGradient() const override { return true; }
    std::unique_ptr<mps::Stage> makeStage(const MTL::Device& device) const override {
        return std::make_unique<NormalizationGradientStage<Kind>>(
            device, dataSource, trainingStyle != NNTrainingStyle::UpdateDeviceNone);
    }
    void archive(mps::Archive& archive) override {
        archive.object("dataSource", dataSource, "The data source");
    }
    typename Kind::Source dataSource;
};

template <class Kind> void addNodes(mps::NodeClasses& all) {
    all.add(Kind::node, [](const mps::NodeSources& from) {
        return std::make_shared<NormalizationNode<Kind>>(
            from.image(0), from.object<typename Kind::DataSource>("dataSource"));
    });
    all.add(Kind::gradientNode, [](const mps::NodeSources& from) {
        return std::make_shared<NormalizationGradientNode<Kind>>(from.image(0), from.image(1),
                                                                 from.state(0));
    });
}

} // namespace

CNNInstanceNormalizationNode::CNNInstanceNormalizationNode(
    const NNImageNode& source, std::shared_ptr<CNNInstanceNormalizationDataSource> dataSource)
    : NNFilterNode(std::make_shared<NormalizationNode<Instance>>(source, std::move(dataSource))) {}
CNNInstanceNormalizationGradientNode::CNNInstanceNormalizationGradientNode(
    const NNImageNode& gradient, const NNImageNode& source, const NNGradientStateNode& state)
    : NNGradientFilterNode(
          std::make_shared<NormalizationGradientNode<Instance>>(gradient, source, state)) {}
CNNGroupNormalizationNode::CNNGroupNormalizationNode(
    const NNImageNode& source, std::shared_ptr<CNNGroupNormalizationDataSource> dataSource)
    : NNFilterNode(std::make_shared<NormalizationNode<Group>>(source, std::move(dataSource))) {}
CNNGroupNormalizationGradientNode::CNNGroupNormalizationGradientNode(
    const NNImageNode& gradient, const NNImageNode& source, const NNGradientStateNode& state)
    : NNGradientFilterNode(
          std::make_shared<NormalizationGradientNode<Group>>(gradient, source, state)) {}

bool CNNInstanceNormalizationNode::isKindOf(const detail::ObjectImpl& object) {
    return isAny<NormalizationNode<Instance>>(object);
}
bool CNNInstanceNormalizationGradientNode::isKindOf(const detail::ObjectImpl& object) {
    return isAny<NormalizationGradientNode<Instance>>(object);
}
bool CNNGroupNormalizationNode::isKindOf(const detail::ObjectImpl& object) {
    return isAny<NormalizationNode<Group>>(object);
}
bool CNNGroupNormalizationGradientNode::isKindOf(const detail::ObjectImpl& object) {
    return isAny<NormalizationGradientNode<Group>>(object);
}

} // namespace mpsvk::MPS

namespace mpsvk::mps {

void addGroupwiseNormalizationNodes(NodeClasses& all) {
    MPS::addNodes<MPS::Instance>(all);
    MPS::addNodes<MPS::Group>(all);
}

} // namespace mpsvk::mps
