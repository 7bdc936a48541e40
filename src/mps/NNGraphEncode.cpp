// How a graph is encoded: its steps one by one, or a plan of them, and the updates after them.
#include "mps/NNGraph.hpp"

#include "mps/PassChecks.hpp"
#include "vk/Instance.hpp"

#include <mpsvk/Error.hpp>

#include <algorithm>
#include <set>

namespace mpsvk::MPS {

namespace {
constexpr size_t mostPlans = 4;

/// Gives a node's images the node's (or the graph's) format.
class NodeAllocator : public ImageAllocator {
public:
    NodeAllocator(std::shared_ptr<ImageAllocator> target, ImageFeatureChannelFormat format)
        : target_(std::move(target)), format_(format) {}
    Image image(const MTL::CommandBuffer& commands, const ImageDescriptor& d,
                const Kernel& kernel) override {
        return target_->image(commands, formatted(d), kernel);
    }
    ImageBatch imageBatch(const MTL::CommandBuffer& commands, const ImageDescriptor& d,
                          const Kernel& kernel, uint64_t count) override {
        return target_->imageBatch(commands, formatted(d), kernel, count);
    }

private:
    ImageDescriptor formatted(ImageDescriptor d) const {
        d.setChannelFormat(format_);
        return d;
    }
    std::shared_ptr<ImageAllocator> target_;
    ImageFeatureChannelFormat format_;
};

} // namespace

void NNGraph::Impl::checkRequest(const Request& request) const {
    const std::string who = subject();
    if (!request.commands) throw InvalidArgument(who + "The command buffer handle is empty.");
    mps::checkDevice(who, device, request.commands);
    const auto checkCount = [&](const char* what, size_t given, size_t expected) {
        if (given != expected)
            throw InvalidArgument(who + std::to_string(given) + " " + what +
                                  " were given but the graph takes " + std::to_string(expected) +
                                  ".");
    };
    checkCount("source images", request.images.size(), inputImages.size());
    checkCount("source states", request.states.size(), inputStates.size());
    const auto nameOf = [](const std::shared_ptr<Handle>& handle, const char* what, size_t k) {
        const std::string label = handle ? handle->label() : "";
        return std::string(what) + " " + std::to_string(k) +
               (label.empty() ? "" : " \"" + label + "\"");
    };
    for (size_t k = 0; k < request.images.size(); ++k) {
        const std::string name = nameOf(images[inputImages[k]].node.handle(), "Source image", k);
        mps::checkSources(who, name.c_str(), request.images[k], request.commands, request.isBatch);
        if (request.images[k].size() != request.images[0].size())
            throw InvalidArgument(who + name + " has " + std::to_string(request.images[k].size()) +
                                  " images but source image 0 has " +
                                  std::to_string(request.images[0].size()) + ".");
        const uint64_t reads = images[inputImages[k]].readers;
        for (const Image& image : request.images[k])
            if (image.impl().temporary && image.impl().readCount < reads)
                throw InvalidArgument(who + name + " is a temporary image with read count " +
                                      std::to_string(image.impl().readCount) +
                                      " but the graph reads it " + std::to_string(reads) +
                                      " times.");
    }
    for (size_t k = 0; k < request.states.size(); ++k) {
        const std::string name = nameOf(states[inputStates[k]].node.handle(), "Source state", k);
        mps::checkStates(who, name.c_str(), request.states[k],
                         request.images.empty() ? 0 : request.images[0].size(), request.commands);
    }
}

NNGraph::Impl::Outcome NNGraph::Impl::encodeSteps(const MTL::CommandBuffer& commands,
                                                  const Request& request, bool temporaryStates) {
    Outcome out;
    out.images.resize(images.size());
    out.states.resize(states.size());
    for (size_t k = 0; k < inputImages.size(); ++k) out.images[inputImages[k]] = request.images[k];
    for (size_t k = 0; k < inputStates.size(); ++k) out.states[inputStates[k]] = request.states[k];
    for (Step& step : steps) {
        const ImageSlot& slot = images[step.imageResult];
        mps::StageInputs in;
        in.commands = commands;
        in.isBatch = request.isBatch;
        in.padding = step.node->padding;
        in.wantsStates = step.wantsStates;
        in.temporaryStates = temporaryStates;
        in.resultIsNeeded = step.resultIsNeeded;
        for (size_t s : step.imageSources) in.images.push_back(out.images[s]);
        for (size_t s : step.stateSources) in.states.push_back(out.states[s]);
        const ImageFeatureChannelFormat own = slot.node.format();
        const bool isFirstResult = results[0] == step.imageResult && resultsNeeded[0];
        in.allocator =
            std::make_shared<NodeAllocator>(isFirstResult ? allocator : slot.node.imageAllocator(),
                                            own == ImageFeatureChannelFormat::None ? format : own);
        mps::StageOutputs made;
        try {
            made = step.stage->encode(in);
        } catch (const InvalidArgument& error) {
            throw InvalidArgument(subject() + "In " + nameOf(step) + ": " + error.what());
        }
        // One for the list of intermediate images, one for the returned image.
        const int64_t reads = int64_t(slot.readers) +
                              (slot.isExported || (slot.isResult && !isFirstResult)) +
                              isFirstResult;
        if (!made.images.empty()) ImageBatchIncrementReadCount(made.images, reads - 1);
        out.images[step.imageResult] = std::move(made.images);
        for (size_t k = 0; k < step.stateResults.size(); ++k) {
            const StateSlot& state = states[step.stateResults[k]];
            // One more for the update, which reads the gradients.
            const int64_t stateReads = int64_t(state.readers) + (state.isExported ? 1 : 0) + 1;
            if (!made.states.empty()) StateBatchIncrementReadCount(made.states, stateReads - 1);
            out.states[step.stateResults[k]] = made.states;
        }
    }
    return out;
}

mps::Stage& NNGraph::Impl::exporterFor(size_t index) {
    const void* source = steps[index].stage->dataSource();
    for (Step& step : steps)
        if (step.stage->dataSource() == source && !step.stage->isTrainable()) return *step.stage;
    return *steps[index].stage;
}

bool NNGraph::Impl::updatesOnHost() const {
    return std::ranges::any_of(steps, [](const Step& step) {
        return step.stage->isTrainable() &&
               step.node->trainingStyle == NNTrainingStyle::UpdateDeviceCPU;
    });
}

std::vector<MTL::CommandBuffer::Handler> NNGraph::Impl::update(const MTL::CommandBuffer& commands,
                                                               const Outcome& outcome) {
    std::vector<MTL::CommandBuffer::Handler> handlers;
    // Every use of a weight in this encode comes before its change: reload when all are encoded.
    std::vector<std::pair<const void*, State>> loads;
    for (size_t i = 0; i < steps.size(); ++i) {
        Step& step = steps[i];
        if (!step.stage->isTrainable() || !step.node->trainingStyle) continue;
        const StateBatch& gradients = outcome.states[step.stateSources.at(0)];
        if (*step.node->trainingStyle == NNTrainingStyle::UpdateDeviceGPU) {
            for (const State& state : step.stage->update(commands, gradients, exporterFor(i)))
                if (state) loads.emplace_back(step.stage->dataSource(), state);
            for (const State& gradient : gradients)
                if (gradient.impl().temporary && gradient.impl().readCount > 0)
                    gradient.impl().setReadCount(0);
        } else if (*step.node->trainingStyle == NNTrainingStyle::UpdateDeviceCPU) {
            mps::Stage& exporter = exporterFor(i);
            const State source = exporter.exportParameters(commands, false);
            handlers.push_back([self = shared_from_this(), stage = step.stage.get(), gradients,
                                source, &exporter](const MTL::CommandBuffer& done) {
                if (done.error() || !stage->updateOnHost(gradients, exporter, source)) return;
                for (Step& other : self->steps)
                    if (other.stage->dataSource() == stage->dataSource())
                        other.stage->reloadFromDataSource();
            });
        }
    }
    for (const auto& [source, state] : loads) {
        for (Step& step : steps) {
            if (step.stage->dataSource() != source) continue;
            // A temporary one is read by as many kernels as there are.
            if (state.isTemporary()) state.setReadCount(state.readCount() + 1);
            step.stage->reload(commands, state);
        }
        if (state.isTemporary() && state.readCount() > 0) state.setReadCount(0);
    }
    return handlers;
}

bool NNGraph::Impl::canReplay(const Request& request) const {
    if (missesInARow > 8 || updatesOnHost() || !intermediateImages.empty() || !resultStates.empty())
        return false;
    for (const StateBatch& batch : request.states)
        for (const State& state : batch)
            if (state.isTemporary()) return false;
    if (!std::ranges::all_of(steps, [](const Step& step) { return step.stage->replays(); }))
        return false;
    return allocator == Image::defaultAllocator() || !resultsNeeded[0];
}

NNGraph::Impl::Replay NNGraph::Impl::replay(const Request& request) {
    std::vector<mps::ExternalBatch> externals;
    const auto add = [&](const ImageBatch& batch) {
        auto made = mps::externalBatch(batch);
        if (made) externals.push_back(std::move(*made));
        return made.has_value();
    };
    for (const ImageBatch& batch : request.images)
        if (!add(batch)) return {};
    for (const StateBatch& batch : request.states) {
        const auto parts = mps::imagesOfStates(batch);
        if (!parts || !std::ranges::all_of(*parts, add)) return {};
    }

    Replay found;
    ImageBatch result;
    const auto fits = [&](const std::shared_ptr<Plan>& plan) {
        auto now = externals;
        if (resultsNeeded[0]) {
            const ImageBatch& like = plan->outcome.images[results[0]];
            result = Image::batch(device, like[0].impl().descriptor, like.size());
            now.push_back(*mps::externalBatch(result));
        }
        found.replacement = plan->replacementFor(now);
        return found.replacement.has_value();
    };
    const auto arena = mps::planArena(request.commands);
    for (auto it = plans.begin(); it != plans.end() && !found.plan; ++it) {
        if ((*it)->isBatch != request.isBatch || (*it)->arena != arena || !fits(*it)) continue;
        found.plan = *it;
        plans.splice(plans.begin(), plans, it);
    }
    missesInARow = found.plan ? 0 : missesInARow + 1;
    if (!found.plan) {
        const auto plan = std::make_shared<Plan>();
        plan->recording = mps::recordingCommandBuffer(device);
        plan->isBatch = request.isBatch;
        plan->arena = arena;
        {
            std::lock_guard lock(arena->recording);
            mps::useArena(plan->recording, *arena);
            arena->heap->reset();
            plan->outcome = encodeSteps(plan->recording, request, false);
            plan->peakBytes = arena->heap->peakBytes();
            arena->heap->reset();
        }
        if (resultsNeeded[0])
            externals.push_back(*mps::externalBatch(plan->outcome.images[results[0]]));
        plan->externals = externals;
        if (resultsNeeded[0]) externals.pop_back();
        // The recording's own result stays with the recording.
        if (resultsNeeded[0] && !fits(plan)) return {};
        found.plan = plan;
        plans.push_front(plan);
        if (plans.size() > mostPlans) plans.pop_back();
        if ((options & KernelOptions::Verbose) == KernelOptions::Verbose)
            vk::log(int(LogLevel::Info), description());
    }
    found.outcome = found.plan->outcome;
    if (resultsNeeded[0]) found.outcome.images[results[0]] = result;
    return found;
}

NNGraph::Impl::Outcome NNGraph::Impl::encode(const Request& request) {
    checkRequest(request);
    mps::Draft draft(request.commands, subject(), request.images, request.states);
    // An encode that was refused halfway has counted in some kernels.
    for (Step& step : steps) step.stage->setEncodeCount(encodeCount);
    std::vector<MTL::CommandBuffer::Handler> handlers;
    Replay replayed;
    Outcome outcome;
    try {
        if (canReplay(request)) replayed = replay(request);
        outcome = replayed.plan ? replayed.outcome
                                : encodeSteps(request.commands, request, !updatesOnHost());
        handlers = update(request.commands, outcome);
    } catch (...) {
        for (Step& step : steps) step.stage->encodeWasUndone();
        throw;
    }
    if (replayed.plan) {
        const auto& commands = replayed.plan->recording.impl().segments.back()->commands;
        if (replayed.replacement)
            draft.target().append(commands, replayed.replacement->from, replayed.replacement->to);
        else
            draft.target().append(commands);
        draft.target().retain(replayed.plan);
    }
    draft.keep();
    for (auto& handler : handlers) request.commands.addCompletedHandler(std::move(handler));
    ++encodeCount;
    return outcome;
}

} // namespace mpsvk::MPS
