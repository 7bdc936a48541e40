// The objects behind the nodes. A filter owns the nodes of its results; a handle to such a result
// keeps the filter alive, so that a chain held by its end stays whole.
#pragma once

#include "mps/Archive.hpp"
#include "mps/Stage.hpp"

#include <mpsvk/MPS/CNNNeuron.hpp>
#include <mpsvk/MPS/NNGraphNodeBases.hpp>

namespace mpsvk::MPS {

struct NNImageNode::Impl : detail::ObjectImpl {
    std::shared_ptr<Handle> handle;
    ImageFeatureChannelFormat format = ImageFeatureChannelFormat::None;
    std::shared_ptr<ImageAllocator> allocator;
    bool exportFromGraph = false, synchronizeResource = false, stopGradient = false;
    NNFilterNode::Impl* producer = nullptr; ///< null: an input

    void archive(mps::Archive& archive);
};

enum class StateNodeKind {
    Plain,
    Gradient,
    BinaryGradient,
    ConvolutionGradient,
    ConvolutionTransposeGradient,
    Labels,
    MultiaryGradient
};

struct NNStateNode::Impl : detail::ObjectImpl {
    StateNodeKind kind = StateNodeKind::Plain;
    std::shared_ptr<Handle> handle;
    bool exportFromGraph = false, synchronizeResource = false;
    NNFilterNode::Impl* producer = nullptr;

    void archive(mps::Archive& archive);
};

struct NNFilterNode::Impl : detail::ObjectImpl, std::enable_shared_from_this<NNFilterNode::Impl> {
    /// `className` is the node's, without Apple's prefix: "CNNPoolingMaxNode".
    Impl(std::string className, std::vector<NNImageNode> sources,
         std::vector<NNStateNode> states = {});
    /// The same description with results of its own.
    Impl(const Impl& other);

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
    /// An activation's function, for a node before it that can apply it to its own result.
    virtual const NNNeuronDescriptor* neuron() const { return nullptr; }
    virtual bool takesNeuron() const { return false; }
    /// True of a node that takes one but has an activation already.
    virtual bool hasNeuron() const { return false; }
    /// The stage of this node and of the activation that follows it in one; null: it takes none.
    virtual std::unique_ptr<mps::Stage> makeStageWithNeuron(const MTL::Device&,
                                                            const NNNeuronDescriptor&) const {
        return nullptr;
    }
    /// True of a node that only adds its two sources, as sums of gradients are.
    virtual bool isSum() const { return false; }
    /// True of a node that can add another image to its result, before an activation.
    virtual bool takesAddend() const { return false; }
    /// The stage that does so with its last image, source `addend` of the addition. `neuron`: of
    /// the activation, null for none.
    virtual std::unique_ptr<mps::Stage>
    makeStageWithAddend(const MTL::Device&, size_t addend, const NNNeuronDescriptor* neuron) const {
        (void)addend, (void)neuron;
        return nullptr;
    }
    /// Of the gradient of an activation: the function.
    virtual const NNNeuronDescriptor* neuronOfGradient() const { return nullptr; }
    /// True of a gradient whose result can be multiplied by an activation's derivative, which
    /// image 1 tells. `fromResult`: that is the activation's result, as ever; else it is the
    /// activation's source from then on, and only the size of image 1 may count.
    virtual bool takesDerivative(bool fromResult) const {
        (void)fromResult;
        return false;
    }
    /// The stage that does so. `fromResult`: as above; an activation's own gradient then needs no
    /// state. That of a sum has the result as image 2.
    virtual std::unique_ptr<mps::Stage>
    makeStageWithDerivative(const MTL::Device&, const NNNeuronDescriptor&, bool fromResult) const {
        (void)fromResult;
        return nullptr;
    }
    /// True of a node and its gradient node when both can take the activation in between, too, so
    /// that neither what it reads nor the gradient of that is an image.
    virtual bool takesNeuronInTraining() const { return false; }
    /// True where the result is the sources side by side, or source 0's channels from somewhere on.
    virtual bool concatenates() const { return false; }
    virtual bool takesChannels() const { return false; }
    /// True for a gradient that is the incoming gradient itself, image 0.
    virtual bool isCopy() const { return false; }
    /// True when the result image already is the gradient of the source (a loss node).
    virtual bool resultIsGradient() const { return false; }
    virtual bool isGradient() const { return false; }
    /// Lists the properties of the class, for archives and descriptions, and its data source, for
    /// copies too. See mps/NNNodeClasses.hpp.
    virtual void archive(mps::Archive& archive) { (void)archive; }
    /// Checked when a graph is built, for a sentence with the node's name. Throws.
    virtual void check() const {}

    const std::string className;
    std::vector<NNImageNode> sources;
    std::vector<NNStateNode> sourceStates;
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

/// Nothing but a reader can tell whether such an image exists.
inline bool isPlain(const NNImageNode& node) {
    return !node.impl().allocator && !node.exportFromGraph() && !node.synchronizeResource();
}

/// Two gradients of one image, added.
NNFilterNode makeAdditionNode(const NNImageNode& left, const NNImageNode& right);

/// What makeStageWithDerivative gives of an activation's gradient, and of a sum.
std::unique_ptr<mps::Stage> makeResultGradientStage(const MTL::Device& device,
                                                    const NNNeuronDescriptor& neuron);

} // namespace mpsvk::MPS
