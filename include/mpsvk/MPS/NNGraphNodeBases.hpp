// MPSNNGraphNodes, the bases: places of images, states and kernels in a graph. Nodes are cheap
// descriptions without a device; MPS::NNGraph makes them run.
#pragma once

#include <mpsvk/MPS/CNNKernel.hpp>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace mpsvk::MPS {

class NNFilterNode;

/// The user's name for an input or an exported result; implemented by the user, beside SecureCoding
/// if it is to be archived itself. MPSHandle.
class Handle {
public:
    virtual ~Handle() = default;
    virtual std::string label() const { return {}; }
};

enum class NNTrainingStyle : uint64_t {
    UpdateDeviceNone = 0, ///< the node is not trained
    UpdateDeviceCPU = 1,  ///< the data source updates on the host, after completion, for encodes
                          ///< made from then on
    UpdateDeviceGPU = 2,  ///< the data source encodes its update after the gradient
};

/// The place of an image. A new one is an input of the graph; a filter node has its own. Setters
/// work on the shared node. MPSNNImageNode.
class NNImageNode : public Object {
public:
    NNImageNode();
    explicit NNImageNode(std::shared_ptr<Handle> handle);
    /// A node whose image the graph reports among its intermediate images.
    static NNImageNode exportedNode(std::shared_ptr<Handle> handle);

    std::shared_ptr<Handle> handle() const;
    void setHandle(std::shared_ptr<Handle> handle) const;
    /// None: the graph's format.
    ImageFeatureChannelFormat format() const;
    void setFormat(ImageFeatureChannelFormat format) const;
    std::shared_ptr<ImageAllocator> imageAllocator() const;
    void setImageAllocator(std::shared_ptr<ImageAllocator> allocator) const;
    bool exportFromGraph() const;
    void setExportFromGraph(bool value) const;
    /// Host reads need no synchronization here; a node's image is one of its own for it, and
    /// nothing is fused across it.
    bool synchronizeResource() const;
    void setSynchronizeResource(bool value) const;
    /// trainingGraph goes no further than this image.
    bool stopGradient() const;
    void setStopGradient(bool value) const;

    static bool isKindOf(const detail::ObjectImpl&);
    struct Impl;
    Impl& impl() const;
    explicit NNImageNode(std::shared_ptr<Impl> impl);
};

/// The place of a state. MPSNNStateNode.
class NNStateNode : public Object {
public:
    NNStateNode() = default;
    std::shared_ptr<Handle> handle() const;
    void setHandle(std::shared_ptr<Handle> handle) const;
    bool exportFromGraph() const;
    void setExportFromGraph(bool value) const;
    bool synchronizeResource() const;
    void setSynchronizeResource(bool value) const;

    static bool isKindOf(const detail::ObjectImpl&);
    struct Impl;
    Impl& impl() const;
    explicit NNStateNode(std::shared_ptr<Impl> impl);
};

/// The place of a gradient state in a graph; filter nodes make it. MPSNNGradientStateNode.
class NNGradientStateNode : public NNStateNode {
public:
    using NNStateNode::NNStateNode;
    static bool isKindOf(const detail::ObjectImpl&);
};
/// The same of two sources. MPSNNBinaryGradientStateNode.
class NNBinaryGradientStateNode : public NNStateNode {
public:
    using NNStateNode::NNStateNode;
    static bool isKindOf(const detail::ObjectImpl&);
};
/// The same of several sources. MPSNNMultiaryGradientStateNode.
class NNMultiaryGradientStateNode : public NNStateNode {
public:
    using NNStateNode::NNStateNode;
    static bool isKindOf(const detail::ObjectImpl&);
};
/// The same of a convolution. MPSCNNConvolutionGradientStateNode.
class CNNConvolutionGradientStateNode : public NNGradientStateNode {
public:
    using NNGradientStateNode::NNGradientStateNode;
    static bool isKindOf(const detail::ObjectImpl&);
};
/// The same of a transposed convolution. MPSCNNConvolutionTransposeGradientStateNode.
class CNNConvolutionTransposeGradientStateNode : public CNNConvolutionGradientStateNode {
public:
    using CNNConvolutionGradientStateNode::CNNConvolutionGradientStateNode;
    static bool isKindOf(const detail::ObjectImpl&);
};
/// The input place of CNNLossLabels, obtained from a loss node. MPSNNLabelsNode.
class NNLabelsNode : public NNStateNode {
public:
    using NNStateNode::NNStateNode;
    static bool isKindOf(const detail::ObjectImpl&);
};

/// Called by trainingGraph for every node it makes. `inferenceNode` is empty for an addition that
/// joins two gradients of an image with several readers. The node's properties may be changed; a
/// stopGradient set on its result ends the branch there.
using GradientNodeBlock =
    std::function<void(NNFilterNode gradientNode, NNFilterNode inferenceNode,
                       NNImageNode inferenceSource, NNImageNode gradientSource)>;

/// The place of a kernel; owns the places of its results. MPSNNFilterNode.
class NNFilterNode : public Object {
public:
    NNFilterNode() = default;
    NNImageNode resultImage() const;
    /// The first of resultStates, or empty.
    NNStateNode resultState() const;
    std::vector<NNStateNode> resultStates() const;
    std::shared_ptr<NNPadding> paddingPolicy() const;
    void setPaddingPolicy(std::shared_ptr<NNPadding> padding) const;
    std::string label() const;
    void setLabel(const std::string& label) const;

    /// The node that computes the gradient with respect to this node's source, given the gradient
    /// with respect to its result. Throws InvalidArgument where there is none.
    NNFilterNode gradientFilter(const NNImageNode& source) const;
    NNFilterNode gradientFilter(const std::vector<NNImageNode>& sources) const;
    /// One node per source that has a gradient, in the order of the sources.
    std::vector<NNFilterNode> gradientFilters(const NNImageNode& source) const;
    std::vector<NNFilterNode> gradientFilters(const std::vector<NNImageNode>& sources) const;

    /// Gradient nodes for everything upstream of this one; returns the nodes in which branches end.
    /// No source gradient: this node's own result image is the gradient (a loss node's is).
    std::vector<NNFilterNode> trainingGraph(const std::optional<NNImageNode>& sourceGradient,
                                            const GradientNodeBlock& nodeHandler) const;

    /// For trainable nodes (convolution and its kin); UpdateDeviceGPU at first. Setting it on a
    /// node that is not trainable throws InvalidArgument.
    NNTrainingStyle trainingStyle() const;
    void setTrainingStyle(NNTrainingStyle style) const;

    static bool isKindOf(const detail::ObjectImpl&);
    struct Impl;
    Impl& impl() const;
    explicit NNFilterNode(std::shared_ptr<Impl> impl);
};

/// A node that has something to train: `node.as<NNTrainableNode>()` asks. MPSNNTrainableNode.
class NNTrainableNode : public NNFilterNode {
public:
    using NNFilterNode::NNFilterNode;
    static bool isKindOf(const detail::ObjectImpl&);
};

/// A node of the backward pass, from the gradient of a result to that of a source. It has no
/// gradient node itself. MPSNNGradientFilterNode.
class NNGradientFilterNode : public NNFilterNode {
public:
    using NNFilterNode::NNFilterNode;
    NNFilterNode gradientFilter(const NNImageNode&) const = delete;
    NNFilterNode gradientFilter(const std::vector<NNImageNode>&) const = delete;
    std::vector<NNFilterNode> gradientFilters(const NNImageNode&) const = delete;
    std::vector<NNFilterNode> gradientFilters(const std::vector<NNImageNode>&) const = delete;
    static bool isKindOf(const detail::ObjectImpl&);
};

} // namespace mpsvk::MPS
