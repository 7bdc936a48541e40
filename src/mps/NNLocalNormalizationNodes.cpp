#include "mps/NNNodeClasses.hpp"

#include <mpsvk/MPS/NNLocalNormalizationNodes.hpp>

namespace mpsvk::MPS {

namespace {

struct NormalizationSettings : mps::LocalNormalizationValues {
    uint64_t width = 5, height = 5; ///< width: channels of the cross-channel normalization
};

struct NormalizationNode : NNFilterNode::Impl {
    NormalizationNode(const char* name, std::vector<NNImageNode> images,
                      std::vector<NNStateNode> states, const NormalizationSettings& settings)
        : Impl(name, std::move(images), std::move(states)), settings(settings) {}
    void archive(mps::Archive& archive) override {
        archive("alpha", settings.alpha);
        archive("beta", settings.beta);
        archive("delta", settings.delta);
        archive("p0", settings.p0);
        archive("pm", settings.pm);
        archive("ps", settings.ps);
        archive("width", settings.width);
        archive("height", settings.height);
    }
    NormalizationSettings settings;
};

template <class Kernel>
constexpr bool acrossChannels = std::is_constructible_v<Kernel, MTL::Device, uint64_t>;

template <class Kernel> Kernel kernelOf(const MTL::Device& device, const NormalizationSettings& s) {
    Kernel made = [&] {
        if constexpr (acrossChannels<Kernel>)
            return Kernel(device, s.width);
        else
            return Kernel(device, s.width, s.height);
    }();
    made.setAlpha(s.alpha);
    made.setBeta(s.beta);
    made.setDelta(s.delta);
    if constexpr (requires { made.setP0(s.p0); }) {
        made.setP0(s.p0);
        made.setPm(s.pm);
        made.setPs(s.ps);
    }
    return made;
}

/// A gradient kernel that keeps its own parameters: the node has them as properties.
template <class Kernel> class WithOwnValues : public Kernel {
public:
    using Kernel::Kernel;

private:
    mps::LocalNormalizationValues& values() override { return ofTheState_; }
    mps::LocalNormalizationValues ofTheState_;
};

template <class Kernel, class Gradient> struct ForwardNode final : NormalizationNode {
    ForwardNode(const char* name, const NNImageNode& source, const NormalizationSettings& s)
        : NormalizationNode(name, {source}, {}, s) {
        addResultState(StateNodeKind::Gradient);
    }
    std::unique_ptr<mps::Stage> makeStage(const MTL::Device& device) const override {
        return std::make_unique<mps::UnaryStage<Kernel>>(kernelOf<Kernel>(device, settings));
    }
    std::vector<NNFilterNode> makeGradients(const std::vector<NNImageNode>& gradients) override {
        const auto gradientState = state(0).template as<NNGradientStateNode>();
        const Gradient made = [&] {
            if constexpr (std::is_constructible_v<Gradient, NNImageNode, NNImageNode,
                                                  NNGradientStateNode, uint64_t, uint64_t>)
                return Gradient(gradients[0], sources[0], gradientState, settings.width,
                                settings.height);
            else
                return Gradient(gradients[0], sources[0], gradientState, settings.width);
        }();
        static_cast<NormalizationNode&>(made.impl()).settings = settings;
        return {made};
    }
};

template <class Kernel> struct GradientNode final : NormalizationNode {
    GradientNode(const char* name, const NNImageNode& gradient, const NNImageNode& source,
                 const NNStateNode& state, const NormalizationSettings& s)
        : NormalizationNode(name, {gradient, source}, {state}, s) {}
    bool isGradient() const override { return true; }
    std::unique_ptr<mps::Stage> makeStage(const MTL::Device& device) const override {
        using Own = std::conditional_t<acrossChannels<Kernel>, Kernel, WithOwnValues<Kernel>>;
        return std::make_unique<mps::GradientStage<Own>>(kernelOf<Own>(device, settings));
    }
};

using Spatial = ForwardNode<CNNSpatialNormalization, CNNSpatialNormalizationGradientNode>;
using LocalContrast =
    ForwardNode<CNNLocalContrastNormalization, CNNLocalContrastNormalizationGradientNode>;
using CrossChannel =
    ForwardNode<CNNCrossChannelNormalization, CNNCrossChannelNormalizationGradientNode>;
using SpatialGradient = GradientNode<CNNSpatialNormalizationGradient>;
using LocalContrastGradient = GradientNode<CNNLocalContrastNormalizationGradient>;
using CrossChannelGradient = GradientNode<CNNCrossChannelNormalizationGradient>;

NormalizationSettings plain(uint64_t width, uint64_t height) { return {{}, width, height}; }
NormalizationSettings contrast(float alpha, uint64_t width, uint64_t height) {
    return {{alpha, 0.5f, 1.0f / 1024, 1, 0, 1}, width, height};
}

NormalizationSettings& of(const NNFilterNode& node) {
    return static_cast<NormalizationNode&>(node.impl()).settings;
}

} // namespace

float CNNNormalizationNode::alpha() const { return of(*this).alpha; }
void CNNNormalizationNode::setAlpha(float value) const { of(*this).alpha = value; }
float CNNNormalizationNode::beta() const { return of(*this).beta; }
void CNNNormalizationNode::setBeta(float value) const { of(*this).beta = value; }
float CNNNormalizationNode::delta() const { return of(*this).delta; }
void CNNNormalizationNode::setDelta(float value) const { of(*this).delta = value; }

uint64_t CNNSpatialNormalizationNode::kernelWidth() const { return of(*this).width; }
void CNNSpatialNormalizationNode::setKernelWidth(uint64_t value) const { of(*this).width = value; }
uint64_t CNNSpatialNormalizationNode::kernelHeight() const { return of(*this).height; }
void CNNSpatialNormalizationNode::setKernelHeight(uint64_t value) const {
    of(*this).height = value;
}

float CNNLocalContrastNormalizationNode::p0() const { return of(*this).p0; }
void CNNLocalContrastNormalizationNode::setP0(float value) const { of(*this).p0 = value; }
float CNNLocalContrastNormalizationNode::pm() const { return of(*this).pm; }
void CNNLocalContrastNormalizationNode::setPm(float value) const { of(*this).pm = value; }
float CNNLocalContrastNormalizationNode::ps() const { return of(*this).ps; }
void CNNLocalContrastNormalizationNode::setPs(float value) const { of(*this).ps = value; }
uint64_t CNNLocalContrastNormalizationNode::kernelWidth() const { return of(*this).width; }
void CNNLocalContrastNormalizationNode::setKernelWidth(uint64_t value) const {
    of(*this).width = value;
}
uint64_t CNNLocalContrastNormalizationNode::kernelHeight() const { return of(*this).height; }
void CNNLocalContrastNormalizationNode::setKernelHeight(uint64_t value) const {
    of(*this).height = value;
}

uint64_t CNNCrossChannelNormalizationNode::kernelSizeInFeatureChannels() const {
    return of(*this).width;
}
void CNNCrossChannelNormalizationNode::setKernelSizeInFeatureChannels(uint64_t value) const {
    of(*this).width = value;
}

float CNNSpatialNormalizationGradientNode::alpha() const { return of(*this).alpha; }
void CNNSpatialNormalizationGradientNode::setAlpha(float value) const { of(*this).alpha = value; }
float CNNSpatialNormalizationGradientNode::beta() const { return of(*this).beta; }
void CNNSpatialNormalizationGradientNode::setBeta(float value) const { of(*this).beta = value; }
float CNNSpatialNormalizationGradientNode::delta() const { return of(*this).delta; }
void CNNSpatialNormalizationGradientNode::setDelta(float value) const { of(*this).delta = value; }
uint64_t CNNSpatialNormalizationGradientNode::kernelWidth() const { return of(*this).width; }
void CNNSpatialNormalizationGradientNode::setKernelWidth(uint64_t value) const {
    of(*this).width = value;
}
uint64_t CNNSpatialNormalizationGradientNode::kernelHeight() const { return of(*this).height; }
void CNNSpatialNormalizationGradientNode::setKernelHeight(uint64_t value) const {
    of(*this).height = value;
}

float CNNLocalContrastNormalizationGradientNode::alpha() const { return of(*this).alpha; }
void CNNLocalContrastNormalizationGradientNode::setAlpha(float value) const {
    of(*this).alpha = value;
}
float CNNLocalContrastNormalizationGradientNode::beta() const { return of(*this).beta; }
void CNNLocalContrastNormalizationGradientNode::setBeta(float value) const {
    of(*this).beta = value;
}
float CNNLocalContrastNormalizationGradientNode::delta() const { return of(*this).delta; }
void CNNLocalContrastNormalizationGradientNode::setDelta(float value) const {
    of(*this).delta = value;
}
float CNNLocalContrastNormalizationGradientNode::p0() const { return of(*this).p0; }
void CNNLocalContrastNormalizationGradientNode::setP0(float value) const { of(*this).p0 = value; }
float CNNLocalContrastNormalizationGradientNode::pm() const { return of(*this).pm; }
void CNNLocalContrastNormalizationGradientNode::setPm(float value) const { of(*this).pm = value; }
float CNNLocalContrastNormalizationGradientNode::ps() const { return of(*this).ps; }
void CNNLocalContrastNormalizationGradientNode::setPs(float value) const { of(*this).ps = value; }
uint64_t CNNLocalContrastNormalizationGradientNode::kernelWidth() const { return of(*this).width; }
void CNNLocalContrastNormalizationGradientNode::setKernelWidth(uint64_t value) const {
    of(*this).width = value;
}
uint64_t CNNLocalContrastNormalizationGradientNode::kernelHeight() const {
    return of(*this).height;
}
void CNNLocalContrastNormalizationGradientNode::setKernelHeight(uint64_t value) const {
    of(*this).height = value;
}

uint64_t CNNCrossChannelNormalizationGradientNode::kernelSize() const { return of(*this).width; }

CNNSpatialNormalizationNode::CNNSpatialNormalizationNode(const NNImageNode& source, uint64_t size)
    : CNNNormalizationNode(
          std::make_shared<Spatial>("CNNSpatialNormalizationNode", source, plain(size, size))) {}
CNNLocalContrastNormalizationNode::CNNLocalContrastNormalizationNode(const NNImageNode& source,
                                                                     uint64_t size)
    : CNNNormalizationNode(std::make_shared<LocalContrast>("CNNLocalContrastNormalizationNode",
                                                           source, contrast(1, size, size))) {}
CNNCrossChannelNormalizationNode::CNNCrossChannelNormalizationNode(const NNImageNode& source,
                                                                   uint64_t size)
    : CNNNormalizationNode(std::make_shared<CrossChannel>("CNNCrossChannelNormalizationNode",
                                                          source, plain(size, 1))) {}
CNNSpatialNormalizationGradientNode::CNNSpatialNormalizationGradientNode(
    const NNImageNode& gradient, const NNImageNode& source, const NNGradientStateNode& state,
    uint64_t size)
    : NNGradientFilterNode(std::make_shared<SpatialGradient>(
          "CNNSpatialNormalizationGradientNode", gradient, source, state, plain(size, size))) {}
CNNLocalContrastNormalizationGradientNode::CNNLocalContrastNormalizationGradientNode(
    const NNImageNode& gradient, const NNImageNode& source, const NNGradientStateNode& state,
    uint64_t width, uint64_t height)
    : NNGradientFilterNode(std::make_shared<LocalContrastGradient>(
          "CNNLocalContrastNormalizationGradientNode", gradient, source, state,
          contrast(0, width, height))) {}
CNNCrossChannelNormalizationGradientNode::CNNCrossChannelNormalizationGradientNode(
    const NNImageNode& gradient, const NNImageNode& source, const NNGradientStateNode& state,
    uint64_t size)
    : NNGradientFilterNode(std::make_shared<CrossChannelGradient>(
          "CNNCrossChannelNormalizationGradientNode", gradient, source, state, plain(size, 1))) {}

using detail::ObjectImpl;
bool CNNNormalizationNode::isKindOf(const ObjectImpl& o) {
    return isAny<Spatial, LocalContrast, CrossChannel>(o);
}
bool CNNSpatialNormalizationNode::isKindOf(const ObjectImpl& o) { return isAny<Spatial>(o); }
bool CNNLocalContrastNormalizationNode::isKindOf(const ObjectImpl& o) {
    return isAny<LocalContrast>(o);
}
bool CNNCrossChannelNormalizationNode::isKindOf(const ObjectImpl& o) {
    return isAny<CrossChannel>(o);
}
bool CNNSpatialNormalizationGradientNode::isKindOf(const ObjectImpl& o) {
    return isAny<SpatialGradient>(o);
}
bool CNNLocalContrastNormalizationGradientNode::isKindOf(const ObjectImpl& o) {
    return isAny<LocalContrastGradient>(o);
}
bool CNNCrossChannelNormalizationGradientNode::isKindOf(const ObjectImpl& o) {
    return isAny<CrossChannelGradient>(o);
}

} // namespace mpsvk::MPS

namespace mpsvk::mps {

void addLocalNormalizationNodes(NodeClasses& all) {
    using namespace MPS;
    const NormalizationSettings any;
    all.addUnary<Spatial>("CNNSpatialNormalizationNode", any);
    all.addUnary<LocalContrast>("CNNLocalContrastNormalizationNode", any);
    all.addUnary<CrossChannel>("CNNCrossChannelNormalizationNode", any);
    all.addGradient<SpatialGradient>("CNNSpatialNormalizationGradientNode", any);
    all.addGradient<LocalContrastGradient>("CNNLocalContrastNormalizationGradientNode", any);
    all.addGradient<CrossChannelGradient>("CNNCrossChannelNormalizationGradientNode", any);
}

} // namespace mpsvk::mps
