#include "mps/NNConvolutionNodes.hpp"

#include "mps/CNNConvolutionState.hpp"
#include "mps/ConvolutionArchive.hpp"
#include "mps/NNNodeClasses.hpp"

#include <mpsvk/Error.hpp>
#include <mpsvk/MPS/CNNConvolutionTranspose.hpp>

namespace mpsvk::MPS {

namespace {

using Source = ConvolutionNode::Source;
using Precision = NNConvolutionAccumulatorPrecisionOption;
using Kind = ConvolutionNode::Kind;

/// Of a kernel with weights.
template <class Base> class WeightsStage : public Base {
public:
    template <class Kernel>
    WeightsStage(Kernel kernel, Source source)
        : Base(std::move(kernel)), source_(std::move(source)) {}
    void takeParameters(mps::Stage& other) override {
        mps::ConvolutionAccess::takeWeights(this->kernel_,
                                            static_cast<WeightsStage&>(other).kernel_);
    }
    void encodeWasUndone() override { mps::ConvolutionAccess::encodeWasUndone(this->kernel_); }
    const void* dataSource() const override { return source_.get(); }
    void reloadFromDataSource() override { this->kernel_.reloadWeightsAndBiasesFromDataSource(); }
    mps::DeferredReload deferredReload() override {
        return mps::ConvolutionAccess::deferredReload(this->kernel_);
    }
    bool reload(const MTL::CommandBuffer& commands, const State& state) override {
        const bool hadBias = mps::ConvolutionAccess::hasBias(this->kernel_);
        this->kernel_.reloadWeightsAndBiases(commands,
                                             state.as<CNNConvolutionWeightsAndBiasesState>());
        return mps::ConvolutionAccess::hasBias(this->kernel_) != hadBias;
    }
    uint64_t reloadVersion() const override {
        return mps::ConvolutionAccess::loadVersion(this->kernel_);
    }
    void reloadedAgain(const MTL::CommandBuffer& commands) override {
        mps::ConvolutionAccess::loadedAgain(this->kernel_, commands);
    }

protected:
    Source source_;
};

template <class Kernel> class ConvolutionStage : public WeightsStage<mps::UnaryStage<Kernel>> {
    using Base = WeightsStage<mps::UnaryStage<Kernel>>;

public:
    ConvolutionStage(const MTL::Device& device, Source source, Precision precision)
        : Base(Kernel(device, source), source) {
        this->kernel_.setAccumulatorPrecisionOption(precision);
    }
    /// With an activation after it, which the source does not know of.
    ConvolutionStage(const MTL::Device& device, Source source, Precision precision,
                     const NNNeuronDescriptor& neuron)
        : ConvolutionStage(device, std::make_shared<mps::SourceWithNeuron>(source, neuron),
                           precision) {
        mps::ConvolutionAccess::setDataSource(this->kernel_, source);
        this->source_ = std::move(source);
        hasNeuron_ = true;
    }
    std::shared_ptr<SecureCoding> dataSourceByValue() override {
        auto made = mps::ConvolutionAccess::weightsByValue(this->kernel_);
        if (hasNeuron_) made->setNeuron(NNNeuronDescriptor(CNNNeuronType::None));
        return made;
    }
    State exportParameters(const MTL::CommandBuffer& commands, bool temporary) override {
        if (temporary) return this->kernel_.exportOnDemand(commands);
        return this->kernel_.exportWeightsAndBiases(commands, false);
    }

private:
    bool hasNeuron_ = false;
};

/// Reads the state of the convolution that it undoes, if it has one.
class TransposeStage : public ConvolutionStage<CNNConvolutionTranspose> {
public:
    using ConvolutionStage::ConvolutionStage;
    mps::StageOutputs encode(const mps::StageInputs& in) override {
        if (in.padding) kernel_.setPadding(in.padding);
        kernel_.setDestinationImageAllocator(in.allocator);
        const StateBatch undone = in.states.empty() ? StateBatch() : in.states[0];
        mps::StageOutputs out;
        StateBatch* states = in.wantsStates ? &out.states : nullptr;
        if (in.isBatch) {
            out.images =
                kernel_.encodeBatch(in.commands, in.images[0], undone, states, in.temporaryStates);
        } else {
            CNNConvolutionTransposeGradientState state;
            out.images = {kernel_.encode(in.commands, in.images[0][0],
                                         undone.empty() ? State() : undone[0],
                                         states ? &state : nullptr, in.temporaryStates)};
            if (state) out.states = {state};
        }
        return out;
    }
};

template <class Kernel>
class ConvolutionGradientStage : public WeightsStage<mps::GradientStage<Kernel>> {
    using Base = WeightsStage<mps::GradientStage<Kernel>>;

public:
    ConvolutionGradientStage(const MTL::Device& device, Source source, bool trained)
        : Base(Kernel(device, source), source), trained_(trained) {}
    bool isTrainable() const override { return trained_; }

    mps::StageOutputs encode(const mps::StageInputs& in) override {
        using enum CNNConvolutionGradientOption;
        this->kernel_.setGradientOption(!trained_           ? GradientWithData
                                        : in.resultIsNeeded ? All
                                                            : GradientWithWeightsAndBias);
        return Base::encode(in);
    }
    StateBatch update(const MTL::CommandBuffer& commands, const StateBatch& gradients,
                      mps::Stage& exporter) override {
        const auto gradient = gradients.at(0).as<CNNConvolutionGradientState>();
        const auto current =
            exporter.exportParameters(commands, true).as<CNNConvolutionWeightsAndBiasesState>();
        const State result = this->source_->update(commands, gradient, current);
        // An update may leave the parameters unread; their memory is free for what comes.
        if (current.isTemporary() && current.readCount() > 0) current.setReadCount(0);
        return {result};
    }
    bool updateOnHost(const StateBatch& gradients, mps::Stage&, const State& current) override {
        return this->source_->update(gradients.at(0).as<CNNConvolutionGradientState>(),
                                     current.as<CNNConvolutionWeightsAndBiasesState>());
    }

private:
    bool trained_;
};

std::vector<NNStateNode> given(const NNStateNode& state) {
    return state ? std::vector<NNStateNode>{state} : std::vector<NNStateNode>();
}

template <class... Neuron>
std::unique_ptr<mps::Stage> stageOf(const MTL::Device& device, const ConvolutionNode& node,
                                    const Neuron&... neuron) {
    const auto make = [&]<class Stage>() -> std::unique_ptr<mps::Stage> {
        return std::make_unique<Stage>(device, node.weights, node.precision, neuron...);
    };
    switch (node.kind) {
    case Kind::FullyConnected:
        return make.template operator()<ConvolutionStage<CNNFullyConnected>>();
    case Kind::Transpose: return make.template operator()<TransposeStage>();
    default: return make.template operator()<ConvolutionStage<CNNConvolution>>();
    }
}

struct ConvolutionGradientNode : NNFilterNode::Impl {
    ConvolutionGradientNode(const char* name, Kind kind, const NNImageNode& gradient,
                            const NNImageNode& source, const NNStateNode& state, Source given)
        : Impl(name, {gradient, source}, {state}), weights(std::move(given)), kind(kind) {
        const bool transposed = bool(state.as<CNNConvolutionTransposeGradientStateNode>());
        if (transposed != (kind == Kind::Transpose))
            throw InvalidArgument("[" + className + "] The gradient state is of a " +
                                  (transposed ? "transposed convolution" : "convolution") +
                                  " but this node differentiates the other.");
        if (!weights && state.impl().producer)
            weights = static_cast<const ConvolutionNode&>(*state.impl().producer).weights;
        if (!weights)
            throw InvalidArgument("[" + className +
                                  "] There is neither a data source nor a gradient state "
                                  "of a forward node to take it from.");
        trainingStyle = NNTrainingStyle::UpdateDeviceGPU;
    }
    bool isGradient() const override { return true; }
    std::unique_ptr<mps::Stage> makeStage(const MTL::Device& device) const override {
        const bool trained = trainingStyle != NNTrainingStyle::UpdateDeviceNone;
        const auto make = [&]<class Kernel>() -> std::unique_ptr<mps::Stage> {
            return std::make_unique<ConvolutionGradientStage<Kernel>>(device, weights, trained);
        };
        switch (kind) {
        case Kind::FullyConnected: return make.template operator()<CNNFullyConnectedGradient>();
        case Kind::Transpose: return make.template operator()<CNNConvolutionTransposeGradient>();
        default: return make.template operator()<CNNConvolutionGradient>();
        }
    }
    void archive(mps::Archive& archive) override {
        archive.object("dataSource", weights, "The data source");
    }
    Source weights;
    const Kind kind;
};

template <class Node> bool isNode(const detail::ObjectImpl& object, Kind kind) {
    const auto* node = dynamic_cast<const Node*>(&object);
    return node && node->kind == kind;
}

ConvolutionNode& of(const NNFilterNode& node) { return static_cast<ConvolutionNode&>(node.impl()); }

} // namespace

ConvolutionNode::ConvolutionNode(const char* name, Kind kind, const NNImageNode& source,
                                 Source weights, const NNStateNode& undone)
    : Impl(name, {source}, given(undone)), weights(std::move(weights)), kind(kind) {
    if (!this->weights) throw InvalidArgument("[" + className + "] The data source is null.");
    if (undone.as<CNNConvolutionTransposeGradientStateNode>())
        throw InvalidArgument("[" + className +
                              "] The convolutionGradientState is of a transposed convolution "
                              "but must be of a convolution.");
    if (kind != Kind::Binary) // which has no gradient
        addResultState(kind == Kind::Transpose ? StateNodeKind::ConvolutionTransposeGradient
                                               : StateNodeKind::ConvolutionGradient);
    trainingStyle = NNTrainingStyle::UpdateDeviceGPU;
}

std::unique_ptr<mps::Stage> ConvolutionNode::makeStage(const MTL::Device& device) const {
    return stageOf(device, *this);
}

bool ConvolutionNode::hasNeuron() const {
    const std::string name = className + (label.empty() ? "" : " \"" + label + "\"");
    const auto own = mps::descriptorOf(name.c_str(), weights).fusedNeuronDescriptor();
    return own.neuronType() != CNNNeuronType::None;
}

std::unique_ptr<mps::Stage>
ConvolutionNode::makeStageWithNeuron(const MTL::Device& device,
                                     const NNNeuronDescriptor& neuron) const {
    return stageOf(device, *this, neuron);
}

std::vector<NNFilterNode>
ConvolutionNode::makeGradients(const std::vector<NNImageNode>& gradients) {
    const NNImageNode &e = gradients[0], &x = sources[0];
    const auto own = state(0).as<CNNConvolutionGradientStateNode>();
    switch (kind) {
    case Kind::FullyConnected: return {CNNFullyConnectedGradientNode(e, x, own, weights)};
    case Kind::Transpose:
        return {CNNConvolutionTransposeGradientNode(
            e, x, own.as<CNNConvolutionTransposeGradientStateNode>(), weights)};
    default: return {CNNConvolutionGradientNode(e, x, own, weights)};
    }
}

void ConvolutionNode::archive(mps::Archive& archive) {
    archive.object("dataSource", weights, "The data source");
    archive("accumulatorPrecision", precision);
}

CNNConvolutionNode::CNNConvolutionNode(const NNImageNode& source, Source weights)
    : NNFilterNode(std::make_shared<ConvolutionNode>("CNNConvolutionNode", Kind::Convolution,
                                                     source, std::move(weights))) {}

NNConvolutionAccumulatorPrecisionOption CNNConvolutionNode::accumulatorPrecision() const {
    return of(*this).precision;
}
void CNNConvolutionNode::setAccumulatorPrecision(
    NNConvolutionAccumulatorPrecisionOption option) const {
    of(*this).precision = option;
}
CNNConvolutionGradientStateNode CNNConvolutionNode::convolutionGradientState() const {
    return resultState().as<CNNConvolutionGradientStateNode>();
}

CNNFullyConnectedNode::CNNFullyConnectedNode(const NNImageNode& source, Source weights)
    : CNNConvolutionNode(std::make_shared<ConvolutionNode>(
          "CNNFullyConnectedNode", Kind::FullyConnected, source, std::move(weights))) {}

CNNConvolutionTransposeNode::CNNConvolutionTransposeNode(
    const NNImageNode& source, const CNNConvolutionGradientStateNode& state, Source weights)
    : CNNConvolutionNode(std::make_shared<ConvolutionNode>(
          "CNNConvolutionTransposeNode", Kind::Transpose, source, std::move(weights), state)) {}

CNNConvolutionGradientNode::CNNConvolutionGradientNode(const NNImageNode& gradient,
                                                       const NNImageNode& source,
                                                       const CNNConvolutionGradientStateNode& state,
                                                       Source weights)
    : NNGradientFilterNode(
          std::make_shared<ConvolutionGradientNode>("CNNConvolutionGradientNode", Kind::Convolution,
                                                    gradient, source, state, std::move(weights))) {}

CNNFullyConnectedGradientNode::CNNFullyConnectedGradientNode(
    const NNImageNode& gradient, const NNImageNode& source,
    const CNNConvolutionGradientStateNode& state, Source weights)
    : CNNConvolutionGradientNode(std::make_shared<ConvolutionGradientNode>(
          "CNNFullyConnectedGradientNode", Kind::FullyConnected, gradient, source, state,
          std::move(weights))) {}

CNNConvolutionTransposeGradientNode::CNNConvolutionTransposeGradientNode(
    const NNImageNode& gradient, const NNImageNode& source,
    const CNNConvolutionTransposeGradientStateNode& state, Source weights)
    : CNNConvolutionGradientNode(std::make_shared<ConvolutionGradientNode>(
          "CNNConvolutionTransposeGradientNode", Kind::Transpose, gradient, source, state,
          std::move(weights))) {}

bool CNNConvolutionNode::isKindOf(const detail::ObjectImpl& object) {
    return isAny<ConvolutionNode>(object);
}
bool CNNFullyConnectedNode::isKindOf(const detail::ObjectImpl& object) {
    return isNode<ConvolutionNode>(object, Kind::FullyConnected);
}
bool CNNConvolutionTransposeNode::isKindOf(const detail::ObjectImpl& object) {
    return isNode<ConvolutionNode>(object, Kind::Transpose);
}
bool CNNConvolutionGradientNode::isKindOf(const detail::ObjectImpl& object) {
    return isAny<ConvolutionGradientNode>(object);
}
bool CNNFullyConnectedGradientNode::isKindOf(const detail::ObjectImpl& object) {
    return isNode<ConvolutionGradientNode>(object, Kind::FullyConnected);
}
bool CNNConvolutionTransposeGradientNode::isKindOf(const detail::ObjectImpl& object) {
    return isNode<ConvolutionGradientNode>(object, Kind::Transpose);
}

} // namespace mpsvk::MPS

namespace mpsvk::mps {

void addConvolutionNodes(NodeClasses& all) {
    using namespace MPS;
    const auto source = [](const NodeSources& from) {
        return from.object<CNNConvolutionDataSource>("dataSource");
    };
    const auto add = [&](Kind kind, const char* name, const char* gradient) {
        all.add(name, [=](const NodeSources& from) {
            return std::make_shared<ConvolutionNode>(name, kind, from.image(0), source(from),
                                                     from.states().empty() ? NNStateNode()
                                                                           : from.state(0));
        });
        all.add(gradient, [=](const NodeSources& from) {
            return std::make_shared<ConvolutionGradientNode>(
                gradient, kind, from.image(0), from.image(1), from.state(0), source(from));
        });
    };
    add(Kind::Convolution, "CNNConvolutionNode", "CNNConvolutionGradientNode");
    add(Kind::FullyConnected, "CNNFullyConnectedNode", "CNNFullyConnectedGradientNode");
    add(Kind::Transpose, "CNNConvolutionTransposeNode", "CNNConvolutionTransposeGradientNode");
}

} // namespace mpsvk::mps
