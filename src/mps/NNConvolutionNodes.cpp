#include "mps/CNNBinaryConvolution.hpp"
#include "mps/CNNConvolutionState.hpp"
#include "mps/NNGraphNodes.hpp"

#include <mpsvk/Error.hpp>
#include <mpsvk/MPS/CNNConvolution.hpp>
#include <mpsvk/MPS/NNConvolutionNodes.hpp>

namespace mpsvk::MPS {

namespace {

using Source = std::shared_ptr<CNNConvolutionDataSource>;

template <class Kernel> class ConvolutionStage : public mps::UnaryStage<Kernel> {
public:
    ConvolutionStage(const MTL::Device& device, Source source)
        : mps::UnaryStage<Kernel>(Kernel(device, source)), source_(std::move(source)) {}
    const void* dataSource() const override { return source_.get(); }
    void reloadFromDataSource() override { this->kernel_.reloadWeightsAndBiasesFromDataSource(); }
    void reload(const MTL::CommandBuffer& commands, const State& state) override {
        this->kernel_.reloadWeightsAndBiases(commands,
                                             state.as<CNNConvolutionWeightsAndBiasesState>());
    }
    State exportParameters(const MTL::CommandBuffer& commands, bool temporary) override {
        if (temporary) return this->kernel_.exportOnDemand(commands);
        return this->kernel_.exportWeightsAndBiases(commands, false);
    }

private:
    Source source_;
};

template <class Kernel> class ConvolutionGradientStage : public mps::GradientStage<Kernel> {
public:
    ConvolutionGradientStage(const MTL::Device& device, Source source, bool trained)
        : mps::GradientStage<Kernel>(Kernel(device, source)), source_(std::move(source)),
          trained_(trained) {}
    const void* dataSource() const override { return source_.get(); }
    void reloadFromDataSource() override { this->kernel_.reloadWeightsAndBiasesFromDataSource(); }
    void reload(const MTL::CommandBuffer& commands, const State& state) override {
        this->kernel_.reloadWeightsAndBiases(commands,
                                             state.as<CNNConvolutionWeightsAndBiasesState>());
    }
    bool isTrainable() const override { return trained_; }

    mps::StageOutputs encode(const mps::StageInputs& in) override {
        using enum CNNConvolutionGradientOption;
        this->kernel_.setGradientOption(!trained_           ? GradientWithData
                                        : in.resultIsNeeded ? All
                                                            : GradientWithWeightsAndBias);
        return mps::GradientStage<Kernel>::encode(in);
    }
    StateBatch update(const MTL::CommandBuffer& commands, const StateBatch& gradients,
                      mps::Stage& exporter) override {
        const auto gradient = gradients.at(0).as<CNNConvolutionGradientState>();
        const auto current =
            exporter.exportParameters(commands, true).as<CNNConvolutionWeightsAndBiasesState>();
        const State result = source_->update(commands, gradient, current);
        // An update may leave the parameters unread; their memory is free for what comes.
        if (current.isTemporary() && current.readCount() > 0) current.setReadCount(0);
        return {result};
    }
    bool updateOnHost(const StateBatch& gradients, mps::Stage&, const State& current) override {
        return source_->update(gradients.at(0).as<CNNConvolutionGradientState>(),
                               current.as<CNNConvolutionWeightsAndBiasesState>());
    }

private:
    Source source_;
    bool trained_;
};

struct ConvolutionNode : NNFilterNode::Impl {
    ConvolutionNode(const char* name, const NNImageNode& source, Source weights,
                    bool fullyConnected, bool hasGradient = true)
        : Impl(name, {source}), weights(std::move(weights)), fullyConnected(fullyConnected) {
        if (!this->weights) throw InvalidArgument("[" + className + "] The data source is null.");
        if (hasGradient) addResultState(StateNodeKind::ConvolutionGradient);
        trainingStyle = NNTrainingStyle::UpdateDeviceGPU;
    }
    std::unique_ptr<mps::Stage> makeStage(const MTL::Device& device) const override {
        if (fullyConnected)
            return std::make_unique<ConvolutionStage<CNNFullyConnected>>(device, weights);
        return std::make_unique<ConvolutionStage<CNNConvolution>>(device, weights);
    }
    std::vector<NNFilterNode> makeGradients(const std::vector<NNImageNode>& gradients) override {
        const auto gradientState = state(0).as<CNNConvolutionGradientStateNode>();
        if (fullyConnected)
            return {
                CNNFullyConnectedGradientNode(gradients[0], sources[0], gradientState, weights)};
        return {CNNConvolutionGradientNode(gradients[0], sources[0], gradientState, weights)};
    }
    const Source weights;
    const bool fullyConnected;
    NNConvolutionAccumulatorPrecisionOption precision =
        NNConvolutionAccumulatorPrecisionOption::Float;
};

/// The terms, or one scale for all.
struct BinarySettings {
    std::optional<mps::BinaryConvolutionTerms> terms;
    float scaleValue = 1;
    CNNBinaryConvolutionType type;
    CNNBinaryConvolutionFlags flags;
};

BinarySettings settingsWith(std::span<const float> outputBias, std::span<const float> outputScale,
                            std::span<const float> inputBias, std::span<const float> inputScale,
                            CNNBinaryConvolutionType type, CNNBinaryConvolutionFlags flags) {
    const auto copied = [](std::span<const float> v) {
        return std::vector<float>(v.begin(), v.end());
    };
    return {mps::BinaryConvolutionTerms{copied(outputBias), copied(outputScale), copied(inputBias),
                                        copied(inputScale)},
            1, type, flags};
}

template <class Kernel> class BinaryConvolutionStage : public mps::UnaryStage<Kernel> {
public:
    BinaryConvolutionStage(const MTL::Device& device, Source source, const BinarySettings& settings)
        : mps::UnaryStage<Kernel>(made(device, source, settings)), source_(std::move(source)),
          settings_(settings) {}
    const void* dataSource() const override { return source_.get(); }
    void reloadFromDataSource() override {
        this->kernel_ = made(this->kernel_.device(), source_, settings_);
    }

private:
    static Kernel made(const MTL::Device& device, const Source& source, const BinarySettings& s) {
        if (!s.terms) return Kernel(device, source, s.scaleValue, s.type, s.flags);
        return Kernel(device, source, s.terms->outputBias, s.terms->outputScale, s.terms->inputBias,
                      s.terms->inputScale, s.type, s.flags);
    }
    Source source_;
    BinarySettings settings_;
};

struct BinaryConvolutionNode : ConvolutionNode {
    BinaryConvolutionNode(const char* name, const NNImageNode& source, Source weights,
                          BinarySettings settings, bool wholeSource)
        : ConvolutionNode(name, source, std::move(weights), false, false),
          settings(std::move(settings)), wholeSource(wholeSource) {}
    std::unique_ptr<mps::Stage> makeStage(const MTL::Device& device) const override {
        if (wholeSource)
            return std::make_unique<BinaryConvolutionStage<CNNBinaryFullyConnected>>(
                device, weights, settings);
        return std::make_unique<BinaryConvolutionStage<CNNBinaryConvolution>>(device, weights,
                                                                              settings);
    }
    std::vector<NNFilterNode> makeGradients(const std::vector<NNImageNode>&) override { return {}; }
    const BinarySettings settings;
    const bool wholeSource;
};

struct ConvolutionGradientNode : NNFilterNode::Impl {
    ConvolutionGradientNode(const char* name, const NNImageNode& gradient,
                            const NNImageNode& source, const NNStateNode& state, Source given,
                            bool fullyConnected)
        : Impl(name, {gradient, source}, {state}), weights(std::move(given)),
          fullyConnected(fullyConnected) {
        if (!weights && state && state.impl().producer)
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
        if (fullyConnected)
            return std::make_unique<ConvolutionGradientStage<CNNFullyConnectedGradient>>(
                device, weights, trained);
        return std::make_unique<ConvolutionGradientStage<CNNConvolutionGradient>>(device, weights,
                                                                                  trained);
    }
    Source weights;
    const bool fullyConnected;
};

ConvolutionNode& of(const NNFilterNode& node) { return static_cast<ConvolutionNode&>(node.impl()); }

} // namespace

CNNConvolutionNode::CNNConvolutionNode(const NNImageNode& source,
                                       std::shared_ptr<CNNConvolutionDataSource> weights)
    : NNFilterNode(std::make_shared<ConvolutionNode>("CNNConvolutionNode", source,
                                                     std::move(weights), false)) {}

NNConvolutionAccumulatorPrecisionOption CNNConvolutionNode::accumulatorPrecision() const {
    return of(*this).precision;
}
void CNNConvolutionNode::setAccumulatorPrecision(
    NNConvolutionAccumulatorPrecisionOption option) const {
    of(*this).precision = option;
}
CNNConvolutionGradientStateNode CNNConvolutionNode::convolutionGradientState() const {
    return impl().state(0).as<CNNConvolutionGradientStateNode>();
}

CNNFullyConnectedNode::CNNFullyConnectedNode(const NNImageNode& source,
                                             std::shared_ptr<CNNConvolutionDataSource> weights)
    : CNNConvolutionNode(std::make_shared<ConvolutionNode>("CNNFullyConnectedNode", source,
                                                           std::move(weights), true)) {}

using Floats = std::span<const float>;

CNNBinaryConvolutionNode::CNNBinaryConvolutionNode(const NNImageNode& source, Source weights,
                                                   float scaleValue, CNNBinaryConvolutionType type,
                                                   CNNBinaryConvolutionFlags flags)
    : CNNConvolutionNode(std::make_shared<BinaryConvolutionNode>(
          "CNNBinaryConvolutionNode", source, std::move(weights),
          BinarySettings{std::nullopt, scaleValue, type, flags}, false)) {}
CNNBinaryConvolutionNode::CNNBinaryConvolutionNode(const NNImageNode& source, Source weights,
                                                   Floats outputBias, Floats outputScale,
                                                   Floats inputBias, Floats inputScale,
                                                   CNNBinaryConvolutionType type,
                                                   CNNBinaryConvolutionFlags flags)
    : CNNConvolutionNode(std::make_shared<BinaryConvolutionNode>(
          "CNNBinaryConvolutionNode", source, std::move(weights),
          settingsWith(outputBias, outputScale, inputBias, inputScale, type, flags), false)) {}
CNNBinaryFullyConnectedNode::CNNBinaryFullyConnectedNode(const NNImageNode& source, Source weights,
                                                         float scaleValue,
                                                         CNNBinaryConvolutionType type,
                                                         CNNBinaryConvolutionFlags flags)
    : CNNBinaryConvolutionNode(std::make_shared<BinaryConvolutionNode>(
          "CNNBinaryFullyConnectedNode", source, std::move(weights),
          BinarySettings{std::nullopt, scaleValue, type, flags}, true)) {}
CNNBinaryFullyConnectedNode::CNNBinaryFullyConnectedNode(const NNImageNode& source, Source weights,
                                                         Floats outputBias, Floats outputScale,
                                                         Floats inputBias, Floats inputScale,
                                                         CNNBinaryConvolutionType type,
                                                         CNNBinaryConvolutionFlags flags)
    : CNNBinaryConvolutionNode(std::make_shared<BinaryConvolutionNode>(
          "CNNBinaryFullyConnectedNode", source, std::move(weights),
          settingsWith(outputBias, outputScale, inputBias, inputScale, type, flags), true)) {}

CNNConvolutionGradientNode::CNNConvolutionGradientNode(
    const NNImageNode& gradient, const NNImageNode& source,
    const CNNConvolutionGradientStateNode& state, std::shared_ptr<CNNConvolutionDataSource> weights)
    : NNGradientFilterNode(std::make_shared<ConvolutionGradientNode>(
          "CNNConvolutionGradientNode", gradient, source, state, std::move(weights), false)) {}

CNNFullyConnectedGradientNode::CNNFullyConnectedGradientNode(
    const NNImageNode& gradient, const NNImageNode& source,
    const CNNConvolutionGradientStateNode& state, std::shared_ptr<CNNConvolutionDataSource> weights)
    : CNNConvolutionGradientNode(std::make_shared<ConvolutionGradientNode>(
          "CNNFullyConnectedGradientNode", gradient, source, state, std::move(weights), true)) {}

bool CNNConvolutionNode::isKindOf(const detail::ObjectImpl& object) {
    return dynamic_cast<const ConvolutionNode*>(&object) != nullptr;
}
bool CNNFullyConnectedNode::isKindOf(const detail::ObjectImpl& object) {
    const auto* node = dynamic_cast<const ConvolutionNode*>(&object);
    return node && node->fullyConnected;
}
bool CNNBinaryConvolutionNode::isKindOf(const detail::ObjectImpl& object) {
    return dynamic_cast<const BinaryConvolutionNode*>(&object) != nullptr;
}
bool CNNBinaryFullyConnectedNode::isKindOf(const detail::ObjectImpl& object) {
    const auto* node = dynamic_cast<const BinaryConvolutionNode*>(&object);
    return node && node->wholeSource;
}
bool CNNConvolutionGradientNode::isKindOf(const detail::ObjectImpl& object) {
    return dynamic_cast<const ConvolutionGradientNode*>(&object) != nullptr;
}
bool CNNFullyConnectedGradientNode::isKindOf(const detail::ObjectImpl& object) {
    const auto* node = dynamic_cast<const ConvolutionGradientNode*>(&object);
    return node && node->fullyConnected;
}

} // namespace mpsvk::MPS
