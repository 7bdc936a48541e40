// The object behind MPS::NNGraph: the compiled steps, and the plans that replay them.
#pragma once

#include "mps/GraphPlan.hpp"
#include "mps/NNGraphNodes.hpp"

#include <mpsvk/MPS/NNGraph.hpp>

#include <list>
#include <mutex>

namespace mpsvk::MPS {

struct NNGraph::Impl : detail::ObjectImpl, std::enable_shared_from_this<NNGraph::Impl> {
    Impl(const MTL::Device& device, const std::vector<NNImageNode>& results,
         const std::vector<bool>& needed);

    /// A node of the compiled graph; indices are into `images` and `states`.
    struct Step {
        std::shared_ptr<NNFilterNode::Impl> node;
        std::unique_ptr<mps::Stage> stage;
        std::vector<size_t> imageSources, stateSources;
        size_t imageResult = 0;
        std::vector<size_t> stateResults;
        bool wantsStates = false, resultIsNeeded = true;
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
    void checkRequest(const Request& request) const;
    /// Runs every step into `commands`; with `temporaryStates`, states live as long as they are
    /// read.
    Outcome encodeSteps(const MTL::CommandBuffer& commands, const Request& request,
                        bool temporaryStates);
    Outcome encode(const Request& request);
    Outcome replay(const Request& request);
    bool canReplay(const Request& request) const;
    void update(const MTL::CommandBuffer& commands, const Outcome& outcome);
    void releaseInputs(const Request& request) const;
    mps::Stage& exporterFor(size_t step);
    bool updatesOnHost() const;
    std::vector<ImageBatch> intermediates(const Outcome& outcome) const;

    const MTL::Device device;
    std::string label;
    KernelOptions options = KernelOptions::None;
    ImageFeatureChannelFormat format = ImageFeatureChannelFormat::Float16;
    bool outputStateIsTemporary = false;
    std::shared_ptr<ImageAllocator> allocator = Image::defaultAllocator();
    std::vector<Step> steps;
    std::vector<ImageSlot> images;
    std::vector<StateSlot> states;
    std::vector<size_t> inputImages, inputStates, results, intermediateImages, resultStates;
    std::vector<bool> resultsNeeded;
    uint64_t encodeCount = 0;

    struct Plan : mps::GraphPlan {
        Outcome outcome;
        bool isBatch = true;
    };
    std::list<std::shared_ptr<Plan>> plans; ///< the latest used first
    size_t missesInARow = 0;
    MTL::CommandQueue asyncQueue;
    std::mutex asyncMutex;

private:
    void compile(const std::vector<NNImageNode>& resultNodes);
    void visit(NNFilterNode::Impl& filter);
    size_t imageSlot(const NNImageNode& node);
    size_t stateSlot(const NNStateNode& node);
    void prune();
};

} // namespace mpsvk::MPS
