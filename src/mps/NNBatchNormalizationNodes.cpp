#include "mps/CNNNeuron.hpp"
#include "mps/CNNNormalizationWeights.hpp"
#include "mps/Image.hpp"
#include "mps/NNNodeClasses.hpp"

#include <mpsvk/Error.hpp>
#include <mpsvk/MPS/CNNBatchNormalization.hpp>
#include <mpsvk/MPS/NNBatchNormalizationNodes.hpp>

namespace mpsvk::MPS {

namespace {

using Source = std::shared_ptr<CNNBatchNormalizationDataSource>;

/// One more reader, so that all the kernels of a node together count as one.
void addReader(const ImageBatch& images) { ImageBatchIncrementReadCount(images, 1); }
void addReader(const State& state) {
    if (state.isTemporary()) state.setReadCount(state.readCount() + 1);
}

/// The images one by one: statistics take batches.
ImageBatch oneByOne(const ImageBatch& images) {
    return images[0].numberOfImages() == 1 ? images : images[0].batchRepresentation();
}

/// Statistics of the batch, where they are wanted, and normalization; of two images, the second is
/// added to the result, as source `addend` of an addition.
class NormalizationStage : public mps::Stage {
public:
    NormalizationStage(const MTL::Device& device, const Source& source,
                       CNNBatchNormalizationFlags flags,
                       const std::optional<NNNeuronDescriptor>& neuron, size_t addend = 1)
        : kernel_(device, source, neuron), statistics_(device), flags_(flags), addend_(addend) {}
    MPS::Kernel& kernel() override { return kernel_; }
    void takeParameters(mps::Stage& other) override {
        mps::NormalizationAccess::takeParameters(kernel_,
                                                 static_cast<NormalizationStage&>(other).kernel_);
    }
    const void* dataSource() const override { return kernel_.dataSource().get(); }
    void reloadFromDataSource() override {
        kernel_.reloadGammaAndBetaFromDataSource();
        kernel_.reloadMeanAndVarianceFromDataSource();
    }
    mps::DeferredReload deferredReload() override {
        return mps::NormalizationAccess::deferredReload(kernel_);
    }
    bool reload(const MTL::CommandBuffer& commands, const State& state) override {
        if (const auto parameters = state.as<CNNNormalizationGammaAndBetaState>())
            kernel_.reloadGammaAndBeta(commands, parameters);
        else
            kernel_.reloadMeanAndVariance(commands,
                                          state.as<CNNNormalizationMeanAndVarianceState>());
        return false;
    }
    uint64_t reloadVersion() const override {
        return mps::NormalizationAccess::loadVersion(kernel_);
    }

    mps::StageOutputs encode(const mps::StageInputs& in) override {
        const bool ofBatch = flags_ == CNNBatchNormalizationFlags::CalculateStatisticsAlways ||
                             (flags_ == CNNBatchNormalizationFlags::Default && in.wantsStates);
        if (in.padding) kernel_.setPadding(in.padding);
        kernel_.setDestinationImageAllocator(in.allocator);
        const ImageBatch& sources = in.images[0];
        const ImageBatch addends = in.images.size() > 1 ? in.images[1] : ImageBatch();
        const mps::Addends added(kernel_, addends);
        auto d = kernel_.destinationImageDescriptor({sources[0]});
        if (!addends.empty() && addend_ == 0) { // a result is stored as the first source of a sum
            d.setStorage(addends[0].storage());
            d.setNumberOfImages(addends[0].numberOfImages());
        }
        mps::StageOutputs out;
        out.images = in.isBatch ? in.allocator->imageBatch(in.commands, d, kernel_, sources.size())
                                : ImageBatch{in.allocator->image(in.commands, d, kernel_)};
        const auto state =
            in.temporaryStates
                ? kernel_.temporaryResultState(in.commands, sources[0], {}, out.images[0])
                : kernel_.resultState(sources[0], {}, out.images[0]);
        if (ofBatch) {
            addReader(sources);
            statistics_.setOffset(kernel_.offset());
            statistics_.setClipRect(MTL::RegionMake2D(0, 0, d.width(), d.height()));
            statistics_.encodeBatch(in.commands, oneByOne(sources), state);
        }
        if (in.wantsStates) addReader(state);
        if (in.isBatch)
            kernel_.encodeBatch(in.commands, sources, state, out.images);
        else
            kernel_.encode(in.commands, sources[0], state, out.images[0]);
        if (!addends.empty() && !(addends[0] == sources[0])) markRead(addends);
        if (in.wantsStates) out.states = StateBatch(sources.size(), state);
        return out;
    }

private:
    CNNBatchNormalization kernel_;
    CNNBatchNormalizationStatistics statistics_;
    const CNNBatchNormalizationFlags flags_;
    const size_t addend_;
};

class NormalizationGradientStage : public mps::GradientStage<CNNBatchNormalizationGradient> {
public:
    NormalizationGradientStage(const MTL::Device& device, Source source, bool trained,
                               const std::optional<NNNeuronDescriptor>& neuron)
        : GradientStage(CNNBatchNormalizationGradient(device, neuron)), statistics_(device, neuron),
          source_(std::move(source)), trained_(trained) {}
    const void* dataSource() const override { return source_.get(); }
    uint64_t reloadVersion() const override { return 1; } // it has nothing to reload
    bool isTrainable() const override { return trained_; }

    mps::StageOutputs encode(const mps::StageInputs& in) override {
        const ImageBatch &gradients = in.images[0], &sources = in.images[1];
        const auto state = in.states[0].at(0).as<CNNBatchNormalizationState>();
        if (!state)
            throw InvalidArgument("[CNNBatchNormalizationGradient] gradientState is no state of a "
                                  "CNNBatchNormalization.");
        if (in.resultIsNeeded) {
            addReader(gradients);
            addReader(sources);
            addReader(state);
        }
        statistics_.destinationImageDescriptor({gradients[0], sources[0]}, {state});
        statistics_.encodeBatch(in.commands, oneByOne(gradients), oneByOne(sources), state);
        mps::StageOutputs out;
        if (in.resultIsNeeded) out = GradientStage::encode(in);
        return out;
    }

    StateBatch update(const MTL::CommandBuffer& commands, const StateBatch& gradients,
                      mps::Stage&) override {
        const auto state = gradients.at(0).as<CNNBatchNormalizationState>();
        addReader(state); // each of the two reads it
        State parameters = source_->updateGammaAndBeta(commands, state);
        return {parameters, source_->updateMeanAndVariance(commands, state)};
    }
    bool updateOnHost(const StateBatch& gradients, mps::Stage&, const State&) override {
        const auto state = gradients.at(0).as<CNNBatchNormalizationState>();
        const bool parameters = source_->updateGammaAndBeta(state);
        return source_->updateMeanAndVariance(state) || parameters;
    }

private:
    CNNBatchNormalizationStatisticsGradient statistics_;
    Source source_;
    bool trained_;
};

struct NormalizationNode : NNFilterNode::Impl {
    NormalizationNode(const NNImageNode& source, Source given)
        : Impl("CNNBatchNormalizationNode", {source}), dataSource(std::move(given)) {
        if (!dataSource) throw InvalidArgument("[" + className + "] The data source is null.");
        addResultState(StateNodeKind::Gradient);
        trainingStyle = NNTrainingStyle::UpdateDeviceGPU;
    }
    std::unique_ptr<mps::Stage> makeStage(const MTL::Device& device) const override {
        return std::make_unique<NormalizationStage>(device, dataSource, flags, std::nullopt);
    }
    void check() const override {
        if (uint64_t(flags) > uint64_t(CNNBatchNormalizationFlags::CalculateStatisticsNever))
            throw InvalidArgument(subject() + "flags is " + std::to_string(uint64_t(flags)) +
                                  " but must be 0 (automatic), 1 (always) or 2 (never).");
    }
    bool takesNeuron() const override { return true; }
    bool takesNeuronInTraining() const override { return true; }
    std::unique_ptr<mps::Stage>
    makeStageWithNeuron(const MTL::Device& device,
                        const NNNeuronDescriptor& neuron) const override {
        return std::make_unique<NormalizationStage>(device, dataSource, flags, neuron);
    }
    bool takesAddend() const override { return true; }
    std::unique_ptr<mps::Stage>
    makeStageWithAddend(const MTL::Device& device, size_t addend,
                        const NNNeuronDescriptor* neuron) const override {
        return std::make_unique<NormalizationStage>(
            device, dataSource, flags, neuron ? std::optional(*neuron) : std::nullopt, addend);
    }
    std::vector<NNFilterNode> makeGradients(const std::vector<NNImageNode>& gradients) override {
        return {CNNBatchNormalizationGradientNode(gradients[0], sources[0],
                                                  state(0).as<NNGradientStateNode>())};
    }
    void archive(mps::Archive& archive) override {
        archive.object("dataSource", dataSource, "The data source");
        archive("flags", flags);
    }
    Source dataSource;
    CNNBatchNormalizationFlags flags = CNNBatchNormalizationFlags::Default;
};

struct NormalizationGradientNode : NNFilterNode::Impl {
    NormalizationGradientNode(const NNImageNode& gradient, const NNImageNode& source,
                              const NNStateNode& state)
        : Impl("CNNBatchNormalizationGradientNode", {gradient, source}, {state}) {
        const auto* forward =
            state ? dynamic_cast<const NormalizationNode*>(state.impl().producer) : nullptr;
        if (!forward)
            throw InvalidArgument("[" + className +
                                  "] gradientState is not the state of a "
                                  "CNNBatchNormalizationNode.");
        dataSource = forward->dataSource;
        trainingStyle = NNTrainingStyle::UpdateDeviceGPU;
    }
    bool isGradient() const override { return true; }
    std::unique_ptr<mps::Stage> makeStage(const MTL::Device& device) const override {
        return stageWith(device, std::nullopt);
    }
    bool takesNeuronInTraining() const override { return true; }
    std::unique_ptr<mps::Stage>
    makeStageWithNeuron(const MTL::Device& device,
                        const NNNeuronDescriptor& neuron) const override {
        return stageWith(device, neuron);
    }
    std::unique_ptr<mps::Stage> stageWith(const MTL::Device& device,
                                          const std::optional<NNNeuronDescriptor>& neuron) const {
        return std::make_unique<NormalizationGradientStage>(
            device, dataSource, trainingStyle != NNTrainingStyle::UpdateDeviceNone, neuron);
    }
    void archive(mps::Archive& archive) override {
        archive.object("dataSource", dataSource, "The data source");
    }
    Source dataSource;
};

NormalizationNode& of(const NNFilterNode& node) {
    return static_cast<NormalizationNode&>(node.impl());
}

} // namespace

CNNBatchNormalizationNode::CNNBatchNormalizationNode(const NNImageNode& source, Source dataSource)
    : NNFilterNode(std::make_shared<NormalizationNode>(source, std::move(dataSource))) {}

CNNBatchNormalizationFlags CNNBatchNormalizationNode::flags() const { return of(*this).flags; }

void CNNBatchNormalizationNode::setFlags(CNNBatchNormalizationFlags flags) const {
    of(*this).flags = flags;
}

CNNBatchNormalizationGradientNode::CNNBatchNormalizationGradientNode(
    const NNImageNode& gradient, const NNImageNode& source, const NNGradientStateNode& state)
    : NNGradientFilterNode(std::make_shared<NormalizationGradientNode>(gradient, source, state)) {}

bool CNNBatchNormalizationNode::isKindOf(const detail::ObjectImpl& object) {
    return isAny<NormalizationNode>(object);
}
bool CNNBatchNormalizationGradientNode::isKindOf(const detail::ObjectImpl& object) {
    return isAny<NormalizationGradientNode>(object);
}

} // namespace mpsvk::MPS

namespace mpsvk::mps {

void addBatchNormalizationNodes(NodeClasses& all) {
    using namespace MPS;
    all.add("CNNBatchNormalizationNode", [](const NodeSources& from) {
        return std::make_shared<NormalizationNode>(
            from.image(0), from.object<CNNBatchNormalizationDataSource>("dataSource"));
    });
    all.add("CNNBatchNormalizationGradientNode", [](const NodeSources& from) {
        return std::make_shared<NormalizationGradientNode>(from.image(0), from.image(1),
                                                           from.state(0));
    });
}

} // namespace mpsvk::mps
