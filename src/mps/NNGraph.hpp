// The object behind MPS::NNGraph: the compiled steps, and the plans that replay them.
#pragma once

#include "mps/GraphPlan.hpp"
#include "mps/NNGraphArchive.hpp"
#include "mps/NNGraphNodes.hpp"
#include "mps/PlanArena.hpp"

#include <mpsvk/MPS/NNGraph.hpp>

#include <list>
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
    };
    /// What an encode runs: the stage of a node, or of a node and the activation after it.
    struct Step : Node {
        std::unique_ptr<mps::Stage> stage;
        bool hasActivation = false;
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
    /// Everything that one encode makes.
    struct Outcome {
        std::vector<ImageBatch> images;
        std::vector<StateBatch> states;
    };
    struct Request {
        MTL::CommandBuffer commands;
        std::vector<ImageBatch> images;
        std::vector<StateBatch> states;
        bool isBatch = true;
    };

    std::string subject() const;
    void archiveSettings(mps::Archive& archive);
    void checkRequest(const Request& request) const;
    /// Runs every step into `commands`, or throws with the node's name; with `temporaryStates`,
    /// states live as long as they are read.
    Outcome encodeSteps(const MTL::CommandBuffer& commands, const Request& request,
                        bool temporaryStates);
    Outcome encode(const Request& request);
    struct Plan : mps::GraphPlan {
        Outcome outcome;
        bool isBatch = true;
        std::shared_ptr<mps::PlanArena> arena; ///< that of the queue it was made for
        uint64_t peakBytes = 0;                ///< the largest sum of live temporaries
    };
    /// A plan, and what replaces its images with the request's.
    struct Replay {
        std::shared_ptr<Plan> plan;
        std::optional<Plan::Replacement> replacement;
        Outcome outcome;
    };
    /// Empty when the request cannot be replayed.
    Replay replay(const Request& request);
    bool canReplay(const Request& request) const;
    /// Asks for updates and loads them; gives what is to be called on completion.
    std::vector<MTL::CommandBuffer::Handler> update(const MTL::CommandBuffer& commands,
                                                    const Outcome& outcome);
    std::string description() const;
    mps::Stage& exporterFor(size_t step);
    bool updatesOnHost() const;
    std::vector<ImageBatch> intermediates(const Outcome& outcome) const;

    const MTL::Device device;
    std::string label;
    KernelOptions options = KernelOptions::None;
    ImageFeatureChannelFormat format = ImageFeatureChannelFormat::Float16;
    bool outputStateIsTemporary = false;
    std::shared_ptr<ImageAllocator> allocator = Image::defaultAllocator();
    std::vector<Node> nodes;          ///< in use, as the user described them
    std::vector<Step> steps;          ///< what became of them
    std::vector<std::string> remarks; ///< on optimizations, done or not
    std::vector<ImageSlot> images;
    std::vector<StateSlot> states;
    std::vector<size_t> inputImages, inputStates, results, intermediateImages, resultStates;
    std::vector<bool> resultsNeeded;
    uint64_t encodeCount = 0;

    std::list<std::shared_ptr<Plan>> plans; ///< the latest used first
    size_t missesInARow = 0;
    MTL::CommandQueue asyncQueue;
    std::mutex asyncMutex;

private:
    void compile();
    void visit(NNFilterNode::Impl& filter);
    size_t imageSlot(const NNImageNode& node);
    size_t stateSlot(const NNStateNode& node);
    /// Drops what feeds nothing that is needed, and says of the rest what of it is needed.
    void prune(std::vector<Node>& from) const;
    void dropCopies(std::vector<Node>& from);
    void makeSteps(std::vector<Node> from);
    /// Why an activation stays apart from the node before it; empty: it need not.
    std::string obstacle(const Step& before, const Node& activation) const;
    std::string nameOf(const Node& node) const;
};

} // namespace mpsvk::MPS
