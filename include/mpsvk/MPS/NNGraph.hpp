// MPSNNGraph: runs a graph of nodes.
#pragma once

#include <mpsvk/MPS/NNGraphNodeBases.hpp>

namespace mpsvk::MPS {

/// Compiled from the nodes of one or several results by walking back to the inputs; nodes that feed
/// no needed result and train nothing are left out. The graph keeps what the nodes say then: what
/// is set on them later counts for graphs made later. The first encode of a given shape of inputs
/// compiles its commands; later ones replay them, with this step's images in place of that one's.
/// What a replay hands over is the caller's as ever: images lie in memory of earlier ones that
/// nobody holds any more, and so do states. A graph is encoded anew each time if it asks the
/// program (an allocator, a padding policy or a callback of its own, updates on the host) or if an
/// input is temporary; debugDescription says so.
///
/// Training: a trainable gradient node (a convolution's) calls its data source's update once the
/// whole batch went through it; what it returns is loaded into every kernel made from that source,
/// or from its forward node's if that is another one, for the next encode. Gradients of weights are
/// summed over the batch and over all gradient nodes of a convolution, of which the last one's data
/// source is asked. MPSNNGraph.
class NNGraph : public Object {
public:
    using CompletionHandler = std::function<void(Image result, std::string error)>;

    NNGraph() = default;
    /// Loads every data source in use. `resultImageIsNeeded` false: encodes return an empty batch,
    /// and work that only makes that image is left out. Throws InvalidArgument, naming the node,
    /// for a graph that cannot run or a data source that does not load.
    NNGraph(const MTL::Device& device, const NNImageNode& resultImage, bool resultImageIsNeeded);
    /// Several results: the first is what encodes return, the others come with the intermediate
    /// images. `resultsAreNeeded` is as long as `resultImages`, or empty for all of them.
    NNGraph(const MTL::Device& device, const std::vector<NNImageNode>& resultImages,
            const std::vector<bool>& resultsAreNeeded = {});
    /// What `encode(coder)` wrote, on `device` or, if that is empty, the coder's:
    ///
    ///     auto bytes = MPS::KeyedArchiver::archivedData(graph);
    ///     auto graph = MPS::KeyedUnarchiver::unarchivedObject<MPS::NNGraph>(bytes, device);
    NNGraph(KeyedUnarchiver& coder, const MTL::Device& device);

    /// The same graph for `device` (an empty one: the same), with kernels of its own as their
    /// `copy(device)` makes them, with the parameters in use now. Each data source is copied once,
    /// or shared where its `copy` returns null. Handles, policies and allocators are shared. No
    /// work of the graph may be in flight.
    NNGraph copy(const MTL::Device& device = {}) const;
    std::string className() const { return "NNGraph"; }
    /// Writes the compiled graph: nodes in use with their properties, settings, inputs in their
    /// order, encodeCount. A data source that is SecureCoding is archived itself; for another one
    /// stand the parameters that the kernels have now, which no update changes. A handle that is
    /// not SecureCoding comes back as one with its label. Throws InvalidArgument when a padding
    /// policy or an allocator is not SecureCoding. No work of the graph may be in flight.
    void encode(KeyedArchiver& coder) const;

    /// The inputs, in the order in which encodes take them; one without a handle is null.
    std::vector<std::shared_ptr<Handle>> sourceImageHandles() const;
    std::vector<std::shared_ptr<Handle>> sourceStateHandles() const;
    std::vector<std::shared_ptr<Handle>> intermediateImageHandles() const;
    std::vector<std::shared_ptr<Handle>> resultStateHandles() const;
    std::shared_ptr<Handle> resultHandle() const;
    bool resultImageIsNeeded() const;
    /// False (the default): states that leave the graph are the caller's for as long as it holds
    /// them or their buffers. What reads them on another queue must be done before they are let go.
    bool outputStateIsTemporary() const;
    void setOutputStateIsTemporary(bool value) const;
    /// Of the returned image; plain images by default.
    std::shared_ptr<ImageAllocator> destinationImageAllocator() const;
    void setDestinationImageAllocator(std::shared_ptr<ImageAllocator> allocator) const;
    /// Of intermediate images whose node has no format; Float16 by default. Encodes take Float16,
    /// Float32 and Unorm8.
    ImageFeatureChannelFormat format() const;
    void setFormat(ImageFeatureChannelFormat format) const;
    MTL::Device device() const;
    std::string label() const;
    void setLabel(const std::string& label) const;
    /// Those of its kernels, too.
    KernelOptions options() const;
    void setOptions(KernelOptions options) const;

    Image encode(const MTL::CommandBuffer& commandBuffer,
                 const std::vector<Image>& sourceImages) const;
    /// Appends the images of intermediateImageHandles and the states of resultStateHandles to the
    /// vectors, which may be null.
    Image encode(const MTL::CommandBuffer& commandBuffer, const std::vector<Image>& sourceImages,
                 const std::vector<State>& sourceStates, std::vector<Image>* intermediateImages,
                 std::vector<State>* destinationStates) const;
    ImageBatch encodeBatch(const MTL::CommandBuffer& commandBuffer,
                           const std::vector<ImageBatch>& sourceImages,
                           const std::vector<StateBatch>& sourceStates = {}) const;
    ImageBatch encodeBatch(const MTL::CommandBuffer& commandBuffer,
                           const std::vector<ImageBatch>& sourceImages,
                           const std::vector<StateBatch>& sourceStates,
                           std::vector<ImageBatch>* intermediateImages,
                           std::vector<StateBatch>* destinationStates) const;
    /// Encodes and commits on a queue of the graph's own; `handler` is called on a thread of the
    /// library, with the error's sentence or "".
    Image executeAsync(const std::vector<Image>& sourceImages, CompletionHandler handler) const;

    /// Every data source in use is loaded again, at once. No work of the graph may be in flight.
    /// When one does not load, InvalidArgument is thrown; kernels of earlier nodes have the new
    /// parameters by then, the others the old ones.
    void reloadFromDataSources() const;
    /// By how much an encode lowers the read count of a temporary input.
    uint64_t readCountForSourceImage(uint64_t index) const;
    uint64_t readCountForSourceState(uint64_t index) const;

    /// An extension: how often the graph was encoded. Kernels whose result differs from encode to
    /// encode (dropout) go by it, so that a program that sets it continues as if never stopped.
    uint64_t encodeCount() const;
    void setEncodeCount(uint64_t count) const;

    /// The stages in order with their inputs, what was fused, left out or written in place, and why
    /// not, whether encodes are replayed, or why not. After the first encode the plan as well: the
    /// dispatches of an encode and of each stage, the bytes that they read and write (an operand
    /// counts once for each dispatch, however often it is read there), the bytes of the arena and
    /// the largest sum of what is in it at a time; which inputs it works on copies of.
    std::string debugDescription() const;

    static bool isKindOf(const detail::ObjectImpl&);
    struct Impl;
    Impl& impl() const;
};

} // namespace mpsvk::MPS
