// The object behind MPS::NNGraph: the compiled steps, and the plans that replay them.
#pragma once

#include "mps/GraphPlan.hpp"
#include "mps/ImagePool.hpp"
#include "mps/KnownUpdates.hpp"
#include "mps/NNGraphArchive.hpp"
#include "mps/NNGraphNodes.hpp"
#include "mps/PlanArena.hpp"

#include <mpsvk/MPS/NNGraph.hpp>

#include <list>
#include <map>
#include <mutex>

namespace mpsvk::MPS {

struct NNGraph::Impl : detail::ObjectImpl, std::enable_shared_from_this<NNGraph::Impl> {
    Impl(const MTL::Device& device, const std::vector<NNImageNode>& results,
         const std::vector<bool>& needed);
    /// Of nodes that are all in use, in this order; with the inputs in theirs.
    Impl(const MTL::Device& device, const mps::GraphNodes& nodes);

    /// A node in use; indices are into `images` and `states`.
    struct Node {
        std::shared_ptr<NNFilterNode::Impl> node;
        std::vector<size_t> imageSources, stateSources;
        size_t imageResult = 0;
        std::vector<size_t> stateResults;
        bool wantsStates = false, resultIsNeeded = true;
        const NNNeuronDescriptor* neuron = nullptr; ///< of the activation that is a part of it
        /// Of a gradient: the function whose derivative at image 1, or at what gave image 1, it has
        /// as a factor.
        const NNNeuronDescriptor* derivative = nullptr;
        bool derivativeFromResult = false;
        /// Of a node that an addition is a part of: which source of that its own last source is.
        std::optional<size_t> addend;
    };
    /// What an encode runs: the stage of a node, or of a node and what is a part of it.
    struct Step : Node {
        std::unique_ptr<mps::Stage> stage;
    };
    /// A gradient state that a data source's update takes once in each encode.
    struct Trained {
        size_t state;
        mps::Stage* stage;                ///< the last that adds to it: its data source is asked
        mps::Stage* exporter;             ///< has the parameters
        std::vector<mps::Stage*> readers; ///< all stages that have them
        std::optional<NNTrainingStyle> style; ///< of its node
    };
    struct ImageSlot {
        NNImageNode node;
        bool isInput = false;
        size_t readers = 0; ///< steps that read it
        bool isResult = false, isExported = false;
    };
    struct StateSlot {
        NNStateNode node;
        bool isInput = false;
        size_t readers = 0;
        bool isExported = false;
    };
    /// Everything that one encode of the steps makes.
    struct Outcome {
        std::vector<ImageBatch> images;
        std::vector<StateBatch> states;
    };
    /// What an encode hands over.
    struct Made {
        ImageBatch result;
        std::vector<ImageBatch> intermediates;
        std::vector<StateBatch> states;
    };
    struct Request : mps::GraphInputs {
        MTL::CommandBuffer commands;
        bool isBatch = true;
    };

    /// Which images lie within others, for inputs of one shape: a producer writes straight into its
    /// channels of a concatenation's result.
    struct Layout {
        std::vector<ImageDescriptor> inputs;
        bool isBatch = true;
        ImageFeatureChannelFormat format = ImageFeatureChannelFormat::None;
        struct Part {
            size_t whole; ///< the image that it lies in, by place in `images`
            uint64_t firstSlice;
            ImageDescriptor shape;
        };
        std::map<size_t, Part> parts;             ///< by place in `images`
        std::map<size_t, ImageDescriptor> wholes; ///< likewise
    };

    std::string subject() const;
    void setOptions(KernelOptions options);
    void archiveSettings(mps::Archive& archive);
    /// What can be wrong with an encode. `checkInputs` looks at each image and state.
    void checkCall(const Request& request) const;
    void checkInputs(const Request& request) const;
    /// What was asked of an allocator.
    struct Asked {
        ImageDescriptor shape;
        uint64_t count = 0;
    };
    struct EncodeOptions {
        bool temporaryStates = false; ///< states live as long as they are read
        bool ownAllocators = true;    ///< false: all images are temporary
        const Layout* layout = nullptr;
        std::vector<size_t>* stepEnds = nullptr; ///< takes how many commands there are after each
        /// Not null: images that leave the graph are stood in for by temporary ones, and what they
        /// are to be is noted here.
        std::map<size_t, std::shared_ptr<Asked>>* leaving = nullptr;
    };
    /// Runs every step into `request.commands`, or throws with the node's name.
    Outcome encodeSteps(const Request& request, const EncodeOptions& how);
    /// Where the images come from unless an encode says otherwise.
    std::shared_ptr<ImageAllocator> ownAllocator(size_t image) const;
    std::shared_ptr<ImageAllocator> allocatorFor(size_t image, const EncodeOptions& how) const;
    ImageFeatureChannelFormat formatOf(size_t image) const;
    bool isFirstResult(size_t image) const { return results[0] == image && resultsNeeded[0]; }
    bool leavesGraph(size_t image) const;
    /// How often it may be read after the encode: one for the list of intermediate images, one for
    /// the returned image.
    int64_t readsOutside(size_t image) const;
    bool exportsState(const Step& step) const;
    bool isUpdated(size_t state) const;
    /// Null where nothing lies within another image.
    const Layout* layoutFor(const Request& request);
    /// Why source k of a concatenation is not written in place; empty: it may be.
    std::string obstacleToPart(const Step& concatenation, size_t k) const;
    std::string remarkOnCopies(const Step& step, const std::vector<size_t>& copied) const;
    Made encode(const Request& request);
    Made handOver(const Outcome& outcome) const;
    struct Plan : mps::GraphPlan {
        using GraphPlan::GraphPlan;
        /// An image that leaves the graph: another one each time.
        struct Leaving : Asked {
            size_t image;
            bool isTemporary;
            mps::ImagePool pool;
        };
        /// The states that an encode has handed over, while the caller has any of them: they are
        /// the plan's own, and until then it cannot run again.
        std::weak_ptr<const std::vector<StateBatch>> lent;
        std::vector<Leaving> leaving;
        std::vector<StateBatch> states; ///< by place in `states`
        bool isBatch = true;
        std::vector<size_t> stepEnds; ///< commands after each step
        mps::UpdateMemory updates;
    };
    /// A plan, and what it works on this time.
    struct Replay {
        std::shared_ptr<Plan> plan;
        mps::GraphPlan::Operands operands;
        Made made;
    };
    /// Empty, and says why, when no plan fits and it seems of no use to make another one.
    Replay replay(const Request& request, const std::shared_ptr<Plan>& latest);
    /// Why each encode is encoded anew; empty: plans are replayed.
    std::string obstacleToReplay() const;
    /// Of that, what is so for good.
    std::string obstacleInSteps() const;
    std::string askingObstacle(const Step& step) const;
    std::string allocatorObstacle(const Step& step) const;
    /// The images that a plan for the request works on; why it cannot have one, or empty.
    std::string externalsOf(const Request& request, mps::Externals& made) const;
    /// Whether a plan is of more use when it works on copies of batch k of `externals`.
    bool shouldGather(size_t k) const;
    bool isFree(const Plan& plan) const;
    Made makeFor(const Request& request, Plan& plan, mps::GraphPlan::Resources& resources) const;
    bool isUsable(const Plan& plan, const Request& request) const;
    /// The plan that worked on these very images and states last time; null: none did.
    std::shared_ptr<Plan> findLatest(const Request& request);
    /// The plan for `externals` that needs the fewest copies; null: none fits.
    std::shared_ptr<Plan> findPlan(const Request& request);
    std::shared_ptr<Plan> makePlan(const Request& request);
    void forgetPlans();
    /// What updates have made of the parameters of a trained node.
    using Loads = std::vector<std::pair<const Trained*, State>>;
    /// Asks for updates and loads them; gives what is to be called on completion. Of a plan's
    /// states none is temporary.
    std::vector<MTL::CommandBuffer::Handler>
    update(const MTL::CommandBuffer& commands, const std::vector<StateBatch>& states, Plan* plan);
    void reload(const MTL::CommandBuffer& commands, const Loads& loads, mps::UpdateRun& run);
    /// Has encodes from now on use what updates on the host have brought.
    void takeHostUpdates();
    /// Copies of `nodes`, `images` and `states`, in their order, on the same data sources.
    struct NodeCopies {
        std::vector<std::shared_ptr<NNFilterNode::Impl>> filters;
        std::vector<NNImageNode> images;
        std::vector<NNStateNode> states;
    };
    NodeCopies copiesOfNodes() const;
    std::string description() const;
    bool updatesOnHost() const;

    const MTL::Device device;
    std::string label;
    KernelOptions options = KernelOptions::None;
    ImageFeatureChannelFormat format = ImageFeatureChannelFormat::Float16;
    bool outputStateIsTemporary = false;
    std::shared_ptr<ImageAllocator> allocator = Image::defaultAllocator();
    std::vector<Node> nodes;              ///< in use, as the user described them
    std::vector<Step> steps;              ///< what became of them
    std::vector<mps::Stage*> counting;    ///< those whose results depend on how often they ran
    std::string stepsObstacle;            ///< to replays
    std::vector<const Step*> policySteps; ///< those with a padding policy of the program's
    std::vector<Trained> trained;         ///< of these
    std::vector<std::string> remarks;     ///< on optimizations, done or not
    std::vector<ImageSlot> images;
    std::vector<StateSlot> states;
    std::vector<size_t> inputImages, inputStates, results, intermediateImages, resultStates;
    std::vector<bool> resultsNeeded;
    uint64_t encodeCount = 0;

    std::list<std::shared_ptr<Plan>> plans; ///< the latest used first
    mps::Externals externals;               ///< of the encode that is going on
    std::list<Layout> layouts;              ///< likewise
    std::vector<std::string> copyRemarks;   ///< on concatenations, of the latest encode of steps
    size_t missesInARow = 0;
    std::string whyEncodedAnew; ///< the latest encode; empty: it was replayed, or there was none
    MTL::CommandQueue asyncQueue;
    std::mutex asyncMutex;
    std::map<mps::Stage*, std::function<void()>> hostUpdates; ///< completed, but not taken over yet
    std::mutex hostUpdatesMutex;

private:
    void compile();
    void findTrained();
    void visit(NNFilterNode::Impl& filter);
    size_t imageSlot(const NNImageNode& node);
    size_t stateSlot(const NNStateNode& node);
    /// Drops what feeds nothing that is needed, and says of the rest what of it is needed.
    void prune(std::vector<Node>& from) const;
    void dropCopies(std::vector<Node>& from);
    /// Activations that become a part of the nodes before them in training: their gradients read
    /// the results, or become a part of the gradients of these nodes.
    void fuseInTraining(std::vector<Node>& from);
    /// Gradients of activations that become a factor of the gradients that they are given.
    void fuseDerivatives(std::vector<Node>& from);
    /// Activations that become a part of the nodes before them where no gradient is in the way.
    void fuseActivations(std::vector<Node>& from);
    /// Additions, with their activations, that become a part of a normalization before them.
    void fuseAdditions(std::vector<Node>& from);
    /// Nothing but nodes can tell whether the image exists.
    bool isHidden(size_t image) const;
    /// And it is there for node `reader` alone, whose result has the same format.
    bool isHiddenBefore(const std::vector<Node>& from, size_t image, size_t reader) const;
    std::unique_ptr<mps::Stage> stageOf(const Node& node) const;
    void makeSteps(std::vector<Node> from);
    /// Why the gradient of an activation must read its source; empty: its result does as well.
    std::string obstacleToResult(const Node& activation) const;
    /// Why an activation stays apart from the node before it; empty: it need not.
    std::string obstacle(const std::vector<Node>& from, const Node& before,
                         const Node& activation) const;
    std::string nameOf(const Node& node) const;
};

} // namespace mpsvk::MPS
