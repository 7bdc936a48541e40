// The objects behind the nodes. A filter owns the nodes of its results; a handle to such a result
// keeps the filter alive, so that a chain held by its end stays whole.
#pragma once

#include "mps/Stage.hpp"

#include <mpsvk/MPS/NNGraphNodeBases.hpp>

namespace mpsvk::MPS {

struct NNImageNode::Impl : detail::ObjectImpl {
    std::shared_ptr<Handle> handle;
    ImageFeatureChannelFormat format = ImageFeatureChannelFormat::None;
    std::shared_ptr<ImageAllocator> allocator;
    bool exportFromGraph = false, synchronizeResource = false, stopGradient = false;
    NNFilterNode::Impl* producer = nullptr; ///< null: an input
};

enum class StateNodeKind {
    Plain,
    Gradient,
    BinaryGradient,
    ConvolutionGradient,
    ConvolutionTransposeGradient,
    Labels
};

struct NNStateNode::Impl : detail::ObjectImpl {
    StateNodeKind kind = StateNodeKind::Plain;
    std::shared_ptr<Handle> handle;
    bool exportFromGraph = false, synchronizeResource = false;
    NNFilterNode::Impl* producer = nullptr;
};

struct NNFilterNode::Impl : detail::ObjectImpl, std::enable_shared_from_this<NNFilterNode::Impl> {
    /// `className` is the node's, without Apple's prefix: "CNNPoolingMaxNode".
    Impl(std::string className, std::vector<NNImageNode> sources,
         std::vector<NNStateNode> states = {});

    NNImageNode result() {
        return NNImageNode(std::shared_ptr<NNImageNode::Impl>(shared_from_this(), &resultImage));
    }
    NNStateNode state(size_t i) {
        return NNStateNode(
            std::shared_ptr<NNStateNode::Impl>(shared_from_this(), resultStates[i].get()));
    }
    void addResultState(StateNodeKind kind);
    std::string subject() const;

    virtual std::unique_ptr<mps::Stage> makeStage(const MTL::Device& device) const = 0;
    /// One node per differentiable source, given the gradients of the result. Empty: none exist.
    virtual std::vector<NNFilterNode> makeGradients(const std::vector<NNImageNode>& gradients) {
        (void)gradients;
        return {};
    }
    /// True when the result image already is the gradient of the source (a loss node).
    virtual bool resultIsGradient() const { return false; }
    virtual bool isGradient() const { return false; }
    /// Checked when a graph is built, for a sentence with the node's name. Throws.
    virtual void check() const {}

    const std::string className;
    const std::vector<NNImageNode> sources;
    const std::vector<NNStateNode> sourceStates;
    NNImageNode::Impl resultImage;
    std::vector<std::unique_ptr<NNStateNode::Impl>> resultStates;
    std::shared_ptr<NNPadding> padding; ///< null: the kernel's own
    std::string label;
    std::optional<NNTrainingStyle> trainingStyle; ///< of trainable nodes
};

/// Whether an object is one of these nodes' Impls.
template <class... Nodes> bool isAny(const detail::ObjectImpl& object) {
    return (... || (dynamic_cast<const Nodes*>(&object) != nullptr));
}

/// Two gradients of one image, added.
NNFilterNode makeAdditionNode(const NNImageNode& left, const NNImageNode& right);

} // namespace mpsvk::MPS
