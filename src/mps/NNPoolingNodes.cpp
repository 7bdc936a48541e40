#include "mps/CNNNeuron.hpp"
#include "mps/NNNodeClasses.hpp"

#include <mpsvk/Error.hpp>
#include <mpsvk/MPS/NNPoolingNodes.hpp>

namespace mpsvk::MPS {

namespace {

template <class Kernel> Kernel pooling(const MTL::Device& device, const KernelWindow& w) {
    if constexpr (std::is_constructible_v<Kernel, MTL::Device, int, int, int, int, int, int>)
        return Kernel(device, w.width, w.height, w.dilationX, w.dilationY, w.strideX, w.strideY);
    else
        return Kernel(device, w.width, w.height, w.strideX, w.strideY);
}

struct PoolingNode : NNFilterNode::Impl {
    PoolingNode(const char* name, std::vector<NNImageNode> images, std::vector<NNStateNode> states,
                const KernelWindow& w)
        : Impl(name, std::move(images), std::move(states)), window(w) {}
    void archive(mps::Archive& archive) override { archive("window", window); }
    KernelWindow window;
};

template <class Kernel, class Gradient> struct ForwardNode final : PoolingNode {
    ForwardNode(const char* name, const NNImageNode& source, const KernelWindow& w)
        : PoolingNode(name, {source}, {}, w) {
        addResultState(StateNodeKind::Gradient);
    }
    std::unique_ptr<mps::Stage> makeStage(const MTL::Device& device) const override {
        auto kernel = pooling<Kernel>(device, window);
        kernel.setEdgeMode(ImageEdgeMode::Clamp);
        return std::make_unique<mps::UnaryStage<Kernel>>(std::move(kernel));
    }
    std::vector<NNFilterNode> makeGradients(const std::vector<NNImageNode>& gradients) override {
        const auto gradientState = state(0).template as<NNGradientStateNode>();
        const auto inverse = padding ? padding->inverse() : nullptr;
        const KernelWindow& w = window;
        if constexpr (std::is_same_v<Gradient, CNNDilatedPoolingMaxGradientNode>) {
            const Gradient made(gradients[0], sources[0], gradientState, w.width, w.height,
                                w.strideX, w.strideY, w.dilationX, w.dilationY);
            made.setPaddingPolicy(inverse);
            return {made};
        } else {
            return {Gradient(gradients[0], sources[0], gradientState, w.width, w.height, w.strideX,
                             w.strideY, inverse)};
        }
    }
};

template <class Kernel> struct GradientNode final : PoolingNode {
    GradientNode(const char* name, const NNImageNode& gradient, const NNImageNode& source,
                 const NNStateNode& state, const KernelWindow& w, std::shared_ptr<NNPadding> policy)
        : PoolingNode(name, {gradient, source}, {state}, w) {
        padding = std::move(policy);
    }
    bool isGradient() const override { return true; }
    std::unique_ptr<mps::Stage> makeStage(const MTL::Device& device) const override {
        return std::make_unique<mps::GradientStage<Kernel>>(pooling<Kernel>(device, window));
    }
    /// A maximum's gradient may look for the maximum again, so that image 1 must stay what it is.
    bool takesDerivative(bool fromResult) const override {
        constexpr bool isMax = std::is_same_v<Kernel, CNNPoolingMaxGradient> ||
                               std::is_same_v<Kernel, CNNDilatedPoolingMaxGradient>;
        return isMax && fromResult;
    }
    std::unique_ptr<mps::Stage> makeStageWithDerivative(const MTL::Device& device,
                                                        const NNNeuronDescriptor& neuron,
                                                        bool fromResult) const override {
        auto kernel = pooling<Kernel>(device, window);
        mps::NeuronAccess::setNeuron(kernel, neuron, fromResult);
        return std::make_unique<mps::GradientStage<Kernel>>(std::move(kernel));
    }
};

using MaxNode = ForwardNode<CNNPoolingMax, CNNPoolingMaxGradientNode>;
using AverageNode = ForwardNode<CNNPoolingAverage, CNNPoolingAverageGradientNode>;
using L2NormNode = ForwardNode<CNNPoolingL2Norm, CNNPoolingL2NormGradientNode>;
using DilatedMaxNode = ForwardNode<CNNDilatedPoolingMax, CNNDilatedPoolingMaxGradientNode>;
using MaxGradientNode = GradientNode<CNNPoolingMaxGradient>;
using AverageGradientNode = GradientNode<CNNPoolingAverageGradient>;
using L2NormGradientNode = GradientNode<CNNPoolingL2NormGradient>;
using DilatedMaxGradientNode = GradientNode<CNNDilatedPoolingMaxGradient>;

const KernelWindow& windowOf(const NNFilterNode& node) {
    return static_cast<const PoolingNode&>(node.impl()).window;
}

/// Of the class that belongs to the pooling node which the state is of.
std::shared_ptr<NNFilterNode::Impl> gradientNode(const NNImageNode& gradient,
                                                 const NNImageNode& source,
                                                 const NNGradientStateNode& state,
                                                 KernelWindow window,
                                                 const std::shared_ptr<NNPadding>& policy) {
    const auto* forward = state ? state.impl().producer : nullptr;
    const auto make = [&]<class Node>(const char* name) {
        return std::make_shared<Node>(name, gradient, source, state, window, policy);
    };
    if (forward && isAny<MaxNode>(*forward))
        return make.operator()<MaxGradientNode>("CNNPoolingMaxGradientNode");
    if (forward && isAny<AverageNode>(*forward))
        return make.operator()<AverageGradientNode>("CNNPoolingAverageGradientNode");
    if (forward && isAny<L2NormNode>(*forward))
        return make.operator()<L2NormGradientNode>("CNNPoolingL2NormGradientNode");
    if (forward && isAny<DilatedMaxNode>(*forward)) {
        const KernelWindow& its = static_cast<const PoolingNode&>(*forward).window;
        window.dilationX = its.dilationX;
        window.dilationY = its.dilationY;
        return make.operator()<DilatedMaxGradientNode>("CNNDilatedPoolingMaxGradientNode");
    }
    throw InvalidArgument("[CNNPoolingGradientNode] gradientState is not the state of a pooling "
                          "node, which says what the gradient is of.");
}

} // namespace

uint64_t CNNPoolingNode::kernelWidth() const { return windowOf(*this).width; }
uint64_t CNNPoolingNode::kernelHeight() const { return windowOf(*this).height; }
uint64_t CNNPoolingNode::strideInPixelsX() const { return windowOf(*this).strideX; }
uint64_t CNNPoolingNode::strideInPixelsY() const { return windowOf(*this).strideY; }
uint64_t CNNDilatedPoolingMaxNode::dilationRateX() const { return windowOf(*this).dilationX; }
uint64_t CNNDilatedPoolingMaxNode::dilationRateY() const { return windowOf(*this).dilationY; }
uint64_t CNNPoolingGradientNode::kernelWidth() const { return windowOf(*this).width; }
uint64_t CNNPoolingGradientNode::kernelHeight() const { return windowOf(*this).height; }
uint64_t CNNPoolingGradientNode::strideInPixelsX() const { return windowOf(*this).strideX; }
uint64_t CNNPoolingGradientNode::strideInPixelsY() const { return windowOf(*this).strideY; }
uint64_t CNNDilatedPoolingMaxGradientNode::dilationRateX() const {
    return windowOf(*this).dilationX;
}
uint64_t CNNDilatedPoolingMaxGradientNode::dilationRateY() const {
    return windowOf(*this).dilationY;
}

CNNPoolingMaxNode::CNNPoolingMaxNode(const NNImageNode& source, uint64_t width, uint64_t height,
                                     uint64_t strideX, uint64_t strideY)
    : CNNPoolingNode(std::make_shared<MaxNode>("CNNPoolingMaxNode", source,
                                               KernelWindow{width, height, strideX, strideY})) {}
CNNPoolingAverageNode::CNNPoolingAverageNode(const NNImageNode& source, uint64_t width,
                                             uint64_t height, uint64_t strideX, uint64_t strideY)
    : CNNPoolingNode(std::make_shared<AverageNode>("CNNPoolingAverageNode", source,
                                                   KernelWindow{width, height, strideX, strideY})) {
}
CNNPoolingL2NormNode::CNNPoolingL2NormNode(const NNImageNode& source, uint64_t width,
                                           uint64_t height, uint64_t strideX, uint64_t strideY)
    : CNNPoolingNode(std::make_shared<L2NormNode>("CNNPoolingL2NormNode", source,
                                                  KernelWindow{width, height, strideX, strideY})) {}
CNNDilatedPoolingMaxNode::CNNDilatedPoolingMaxNode(const NNImageNode& source, uint64_t width,
                                                   uint64_t height, uint64_t strideX,
                                                   uint64_t strideY, uint64_t dilationX,
                                                   uint64_t dilationY)
    : NNFilterNode(std::make_shared<DilatedMaxNode>(
          "CNNDilatedPoolingMaxNode", source,
          KernelWindow{width, height, strideX, strideY, dilationX, dilationY})) {}

CNNPoolingGradientNode::CNNPoolingGradientNode(const NNImageNode& gradient,
                                               const NNImageNode& source,
                                               const NNGradientStateNode& state, uint64_t width,
                                               uint64_t height, uint64_t strideX, uint64_t strideY,
                                               std::shared_ptr<NNPadding> policy)
    : CNNPoolingGradientNode(gradientNode(gradient, source, state,
                                          KernelWindow{width, height, strideX, strideY}, policy)) {}
CNNPoolingMaxGradientNode::CNNPoolingMaxGradientNode(const NNImageNode& gradient,
                                                     const NNImageNode& source,
                                                     const NNGradientStateNode& state,
                                                     uint64_t width, uint64_t height,
                                                     uint64_t strideX, uint64_t strideY,
                                                     std::shared_ptr<NNPadding> policy)
    : CNNPoolingGradientNode(std::make_shared<MaxGradientNode>(
          "CNNPoolingMaxGradientNode", gradient, source, state,
          KernelWindow{width, height, strideX, strideY}, std::move(policy))) {}
CNNPoolingAverageGradientNode::CNNPoolingAverageGradientNode(const NNImageNode& gradient,
                                                             const NNImageNode& source,
                                                             const NNGradientStateNode& state,
                                                             uint64_t width, uint64_t height,
                                                             uint64_t strideX, uint64_t strideY,
                                                             std::shared_ptr<NNPadding> policy)
    : CNNPoolingGradientNode(std::make_shared<AverageGradientNode>(
          "CNNPoolingAverageGradientNode", gradient, source, state,
          KernelWindow{width, height, strideX, strideY}, std::move(policy))) {}
CNNPoolingL2NormGradientNode::CNNPoolingL2NormGradientNode(const NNImageNode& gradient,
                                                           const NNImageNode& source,
                                                           const NNGradientStateNode& state,
                                                           uint64_t width, uint64_t height,
                                                           uint64_t strideX, uint64_t strideY,
                                                           std::shared_ptr<NNPadding> policy)
    : CNNPoolingGradientNode(std::make_shared<L2NormGradientNode>(
          "CNNPoolingL2NormGradientNode", gradient, source, state,
          KernelWindow{width, height, strideX, strideY}, std::move(policy))) {}
CNNDilatedPoolingMaxGradientNode::CNNDilatedPoolingMaxGradientNode(
    const NNImageNode& gradient, const NNImageNode& source, const NNGradientStateNode& state,
    uint64_t width, uint64_t height, uint64_t strideX, uint64_t strideY, uint64_t dilationX,
    uint64_t dilationY)
    : CNNPoolingGradientNode(std::make_shared<DilatedMaxGradientNode>(
          "CNNDilatedPoolingMaxGradientNode", gradient, source, state,
          KernelWindow{width, height, strideX, strideY, dilationX, dilationY}, nullptr)) {}

using detail::ObjectImpl;
bool CNNPoolingNode::isKindOf(const ObjectImpl& o) {
    return isAny<MaxNode, AverageNode, L2NormNode>(o);
}
bool CNNPoolingMaxNode::isKindOf(const ObjectImpl& o) { return isAny<MaxNode>(o); }
bool CNNPoolingAverageNode::isKindOf(const ObjectImpl& o) { return isAny<AverageNode>(o); }
bool CNNPoolingL2NormNode::isKindOf(const ObjectImpl& o) { return isAny<L2NormNode>(o); }
bool CNNDilatedPoolingMaxNode::isKindOf(const ObjectImpl& o) { return isAny<DilatedMaxNode>(o); }
bool CNNPoolingGradientNode::isKindOf(const ObjectImpl& o) {
    return isAny<MaxGradientNode, AverageGradientNode, L2NormGradientNode, DilatedMaxGradientNode>(
        o);
}
bool CNNPoolingMaxGradientNode::isKindOf(const ObjectImpl& o) { return isAny<MaxGradientNode>(o); }
bool CNNPoolingAverageGradientNode::isKindOf(const ObjectImpl& o) {
    return isAny<AverageGradientNode>(o);
}
bool CNNPoolingL2NormGradientNode::isKindOf(const ObjectImpl& o) {
    return isAny<L2NormGradientNode>(o);
}
bool CNNDilatedPoolingMaxGradientNode::isKindOf(const ObjectImpl& o) {
    return isAny<DilatedMaxGradientNode>(o);
}

} // namespace mpsvk::MPS

namespace mpsvk::mps {

void addPoolingNodes(NodeClasses& all) {
    using namespace MPS;
    const KernelWindow any{1, 1, 1, 1};
    const std::shared_ptr<NNPadding> none;
    all.addUnary<MaxNode>("CNNPoolingMaxNode", any);
    all.addUnary<AverageNode>("CNNPoolingAverageNode", any);
    all.addUnary<L2NormNode>("CNNPoolingL2NormNode", any);
    all.addUnary<DilatedMaxNode>("CNNDilatedPoolingMaxNode", any);
    all.addGradient<MaxGradientNode>("CNNPoolingMaxGradientNode", any, none);
    all.addGradient<AverageGradientNode>("CNNPoolingAverageGradientNode", any, none);
    all.addGradient<L2NormGradientNode>("CNNPoolingL2NormGradientNode", any, none);
    all.addGradient<DilatedMaxGradientNode>("CNNDilatedPoolingMaxGradientNode", any, none);
}

} // namespace mpsvk::mps
