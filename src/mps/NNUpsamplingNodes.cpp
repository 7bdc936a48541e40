#include "mps/CNNUpsampling.hpp"
#include "mps/NNNodeClasses.hpp"

#include <mpsvk/MPS/NNUpsamplingNodes.hpp>

namespace mpsvk::MPS {

namespace {

struct Factors {
    double x, y;
    bool alignCorners = false;
};

struct UpsamplingNode : NNFilterNode::Impl {
    UpsamplingNode(const char* name, std::vector<NNImageNode> images,
                   std::vector<NNStateNode> states, const Factors& factors)
        : Impl(name, std::move(images), std::move(states)), factors(factors) {
        mps::checkScaleFactors(name, factors.x, factors.y);
    }
    void archive(mps::Archive& archive) override {
        archive("scaleFactorX", factors.x);
        archive("scaleFactorY", factors.y);
        archive("alignCorners", factors.alignCorners);
    }
    /// What the constructors have not seen: values from an archive.
    void check() const override {
        mps::checkScaleFactors(className.c_str(), factors.x, factors.y);
        if (className.find("Nearest") != std::string::npos)
            mps::checkWholeFactors(className.c_str(), factors.x, factors.y);
    }
    Factors factors;
};

template <class Kernel> Kernel kernelOf(const MTL::Device& device, const Factors& f) {
    if constexpr (std::is_constructible_v<Kernel, MTL::Device, double, double, bool>)
        return Kernel(device, f.x, f.y, f.alignCorners);
    else if constexpr (std::is_same_v<Kernel, CNNUpsamplingBilinearGradient>)
        return Kernel(device, f.x, f.y);
    else
        return Kernel(device, uint64_t(f.x), uint64_t(f.y));
}

template <class Kernel, class Gradient> struct ForwardNode final : UpsamplingNode {
    ForwardNode(const char* name, const NNImageNode& source, const Factors& factors)
        : UpsamplingNode(name, {source}, {}, factors) {
        addResultState(StateNodeKind::Gradient);
    }
    std::unique_ptr<mps::Stage> makeStage(const MTL::Device& device) const override {
        return std::make_unique<mps::UnaryStage<Kernel>>(kernelOf<Kernel>(device, factors));
    }
    std::vector<NNFilterNode> makeGradients(const std::vector<NNImageNode>& gradients) override {
        return {Gradient(gradients[0], sources[0], state(0).template as<NNGradientStateNode>(),
                         factors.x, factors.y)};
    }
};

template <class Kernel> struct GradientNode final : UpsamplingNode {
    GradientNode(const char* name, const NNImageNode& gradient, const NNImageNode& source,
                 const NNStateNode& state, const Factors& factors)
        : UpsamplingNode(name, {gradient, source}, {state}, factors) {
        if constexpr (std::is_same_v<Kernel, CNNUpsamplingNearestGradient>)
            mps::checkWholeFactors(name, factors.x, factors.y);
    }
    bool isGradient() const override { return true; }
    std::unique_ptr<mps::Stage> makeStage(const MTL::Device& device) const override {
        return std::make_unique<mps::GradientStage<Kernel>>(kernelOf<Kernel>(device, factors));
    }
};

using Nearest = ForwardNode<CNNUpsamplingNearest, CNNUpsamplingNearestGradientNode>;
using Bilinear = ForwardNode<CNNUpsamplingBilinear, CNNUpsamplingBilinearGradientNode>;
using NearestGradient = GradientNode<CNNUpsamplingNearestGradient>;
using BilinearGradient = GradientNode<CNNUpsamplingBilinearGradient>;

const Factors& of(const NNFilterNode& node) {
    return static_cast<const UpsamplingNode&>(node.impl()).factors;
}

} // namespace

CNNUpsamplingNearestNode::CNNUpsamplingNearestNode(const NNImageNode& source, uint64_t x,
                                                   uint64_t y)
    : NNFilterNode(std::make_shared<Nearest>("CNNUpsamplingNearestNode", source,
                                             Factors{double(x), double(y)})) {}
double CNNUpsamplingNearestNode::scaleFactorX() const { return of(*this).x; }
double CNNUpsamplingNearestNode::scaleFactorY() const { return of(*this).y; }

CNNUpsamplingBilinearNode::CNNUpsamplingBilinearNode(const NNImageNode& source, double x, double y,
                                                     bool alignCorners)
    : NNFilterNode(std::make_shared<Bilinear>("CNNUpsamplingBilinearNode", source,
                                              Factors{x, y, alignCorners})) {}
double CNNUpsamplingBilinearNode::scaleFactorX() const { return of(*this).x; }
double CNNUpsamplingBilinearNode::scaleFactorY() const { return of(*this).y; }
bool CNNUpsamplingBilinearNode::alignCorners() const { return of(*this).alignCorners; }

CNNUpsamplingNearestGradientNode::CNNUpsamplingNearestGradientNode(const NNImageNode& gradient,
                                                                   const NNImageNode& source,
                                                                   const NNGradientStateNode& state,
                                                                   double x, double y)
    : NNGradientFilterNode(std::make_shared<NearestGradient>(
          "CNNUpsamplingNearestGradientNode", gradient, source, state, Factors{x, y})) {}
double CNNUpsamplingNearestGradientNode::scaleFactorX() const { return of(*this).x; }
double CNNUpsamplingNearestGradientNode::scaleFactorY() const { return of(*this).y; }

CNNUpsamplingBilinearGradientNode::CNNUpsamplingBilinearGradientNode(
    const NNImageNode& gradient, const NNImageNode& source, const NNGradientStateNode& state,
    double x, double y)
    : NNGradientFilterNode(std::make_shared<BilinearGradient>(
          "CNNUpsamplingBilinearGradientNode", gradient, source, state, Factors{x, y})) {}
double CNNUpsamplingBilinearGradientNode::scaleFactorX() const { return of(*this).x; }
double CNNUpsamplingBilinearGradientNode::scaleFactorY() const { return of(*this).y; }

using detail::ObjectImpl;
bool CNNUpsamplingNearestNode::isKindOf(const ObjectImpl& o) { return isAny<Nearest>(o); }
bool CNNUpsamplingBilinearNode::isKindOf(const ObjectImpl& o) { return isAny<Bilinear>(o); }
bool CNNUpsamplingNearestGradientNode::isKindOf(const ObjectImpl& o) {
    return isAny<NearestGradient>(o);
}
bool CNNUpsamplingBilinearGradientNode::isKindOf(const ObjectImpl& o) {
    return isAny<BilinearGradient>(o);
}

} // namespace mpsvk::MPS

namespace mpsvk::mps {

void addUpsamplingNodes(NodeClasses& all) {
    using namespace MPS;
    const Factors any{1, 1};
    all.addUnary<Nearest>("CNNUpsamplingNearestNode", any);
    all.addUnary<Bilinear>("CNNUpsamplingBilinearNode", any);
    all.addGradient<NearestGradient>("CNNUpsamplingNearestGradientNode", any);
    all.addGradient<BilinearGradient>("CNNUpsamplingBilinearGradientNode", any);
}

} // namespace mpsvk::mps
