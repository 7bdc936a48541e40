#include "mps/CNNBinaryConvolution.hpp"
#include "mps/NNConvolutionNodes.hpp"
#include "mps/NNNodeClasses.hpp"

#include <optional>

namespace mpsvk::MPS {

namespace {

using Source = ConvolutionNode::Source;

/// The terms, or one scale for all.
struct BinarySettings {
    std::optional<mps::BinaryConvolutionTerms> terms;
    float scaleValue = 1;
    CNNBinaryConvolutionType type = CNNBinaryConvolutionType::BinaryWeights;
    CNNBinaryConvolutionFlags flags = CNNBinaryConvolutionFlags::None;

    void archive(mps::Archive& archive) {
        bool hasTerms = terms.has_value();
        archive("hasTerms", hasTerms);
        if (hasTerms && !terms) terms.emplace();
        if (hasTerms) archive("terms", *terms);
        archive("scaleValue", scaleValue);
        archive("type", type);
        archive("flags", flags);
    }
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
        Kernel fresh = made(this->kernel_.device(), source_, settings_);
        fresh.setLabel(this->kernel_.label());
        fresh.setOptions(this->kernel_.options());
        this->kernel_ = std::move(fresh);
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
        : ConvolutionNode(name, Kind::Binary, source, std::move(weights)),
          settings(std::move(settings)), wholeSource(wholeSource) {}
    std::unique_ptr<mps::Stage> makeStage(const MTL::Device& device) const override {
        if (wholeSource)
            return std::make_unique<BinaryConvolutionStage<CNNBinaryFullyConnected>>(
                device, weights, settings);
        return std::make_unique<BinaryConvolutionStage<CNNBinaryConvolution>>(device, weights,
                                                                              settings);
    }
    std::vector<NNFilterNode> makeGradients(const std::vector<NNImageNode>&) override { return {}; }
    void archive(mps::Archive& archive) override {
        ConvolutionNode::archive(archive);
        archive("settings", settings);
    }
    BinarySettings settings;
    const bool wholeSource;
};

} // namespace

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

bool CNNBinaryConvolutionNode::isKindOf(const detail::ObjectImpl& object) {
    return dynamic_cast<const BinaryConvolutionNode*>(&object) != nullptr;
}
bool CNNBinaryFullyConnectedNode::isKindOf(const detail::ObjectImpl& object) {
    const auto* node = dynamic_cast<const BinaryConvolutionNode*>(&object);
    return node && node->wholeSource;
}

} // namespace mpsvk::MPS

namespace mpsvk::mps {

void addBinaryConvolutionNodes(NodeClasses& all) {
    using namespace MPS;
    for (const bool whole : {false, true}) {
        const char* name = whole ? "CNNBinaryFullyConnectedNode" : "CNNBinaryConvolutionNode";
        all.add(name, [=](const NodeSources& from) {
            return std::make_shared<BinaryConvolutionNode>(
                name, from.image(0), from.object<CNNConvolutionDataSource>("dataSource"),
                BinarySettings(), whole);
        });
    }
}

} // namespace mpsvk::mps
