// How a graph is encoded: its steps one by one, or a plan of them, and the updates after them.
#include "mps/NNGraph.hpp"

#include "mps/Names.hpp"
#include "mps/PassChecks.hpp"

#include <mpsvk/Error.hpp>

#include <algorithm>
#include <set>

namespace mpsvk::MPS {

namespace {
/// Gives a node's images the node's (or the graph's) format.
class NodeAllocator : public ImageAllocator {
public:
    NodeAllocator(std::shared_ptr<ImageAllocator> target, ImageFeatureChannelFormat format)
        : target_(std::move(target)), format_(format) {}
    Image image(MTL::CommandBuffer commands, ImageDescriptor d, const Kernel& kernel) override {
        return target_->image(commands, formatted(d), kernel);
    }
    ImageBatch imageBatch(MTL::CommandBuffer commands, ImageDescriptor d, const Kernel& kernel,
                          uint64_t count) override {
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

/// Stands in for images that leave the graph, while a plan is recorded.
class LeavingAllocator : public ImageAllocator {
public:
    explicit LeavingAllocator(std::shared_ptr<NNGraph::Impl::Asked> asked)
        : asked_(std::move(asked)) {}
    Image image(MTL::CommandBuffer commands, ImageDescriptor d, const Kernel& kernel) override {
        return imageBatch(commands, d, kernel, 1)[0];
    }
    ImageBatch imageBatch(MTL::CommandBuffer commands, ImageDescriptor d, const Kernel&,
                          uint64_t count) override {
        *asked_ = {d, count};
        return TemporaryImage::batch(commands, d, count);
    }

private:
    std::shared_ptr<NNGraph::Impl::Asked> asked_;
};

/// The results of concatenations whose sources are written in place: made with the first of these.
struct Wholes {
    struct Whole {
        std::shared_ptr<ImageAllocator> allocator;
        ImageDescriptor shape;
        ImageBatch images;
    };
    std::map<size_t, Whole> all; ///< by place in the graph's images

    const ImageBatch& images(size_t place, const MTL::CommandBuffer& commands, const Kernel& kernel,
                             bool isBatch, uint64_t count) {
        Whole& whole = all.at(place);
        if (whole.images.empty())
            whole.images = isBatch
                               ? whole.allocator->imageBatch(commands, whole.shape, kernel, count)
                               : ImageBatch{whole.allocator->image(commands, whole.shape, kernel)};
        return whole.images;
    }
};

/// Gives a node the channels of a whole that are its result's; or the whole.
class PartAllocator : public ImageAllocator {
public:
    using Part = std::optional<NNGraph::Impl::Layout::Part>;
    PartAllocator(std::shared_ptr<ImageAllocator> own, std::shared_ptr<Wholes> wholes, size_t place,
                  Part part)
        : own_(std::move(own)), wholes_(std::move(wholes)), place_(place), part_(std::move(part)) {}
    Image image(MTL::CommandBuffer commands, ImageDescriptor d, const Kernel& kernel) override {
        return fits(d) ? made(commands, kernel, false, 1)[0] : own_->image(commands, d, kernel);
    }
    ImageBatch imageBatch(MTL::CommandBuffer commands, ImageDescriptor d, const Kernel& kernel,
                          uint64_t count) override {
        return fits(d) ? made(commands, kernel, true, count)
                       : own_->imageBatch(commands, d, kernel, count);
    }

private:
    bool fits(const ImageDescriptor& d) const {
        const ImageDescriptor& planned = part_ ? part_->shape : wholes_->all.at(place_).shape;
        return d.width() == planned.width() && d.height() == planned.height() &&
               d.featureChannels() == planned.featureChannels() &&
               d.numberOfImages() == planned.numberOfImages() && d.storage() == planned.storage();
    }
    ImageBatch made(const MTL::CommandBuffer& commands, const Kernel& kernel, bool isBatch,
                    uint64_t count) const {
        const ImageBatch& whole =
            wholes_->images(part_ ? part_->whole : place_, commands, kernel, isBatch, count);
        if (!part_) return whole;
        ImageBatchIncrementReadCount(whole, 1); // until the part has been read
        return channelViews(whole, part_->firstSlice, part_->shape.featureChannels());
    }
    std::shared_ptr<ImageAllocator> own_;
    std::shared_ptr<Wholes> wholes_;
    size_t place_;
    Part part_;
};

} // namespace

std::shared_ptr<ImageAllocator> NNGraph::Impl::ownAllocator(size_t image) const {
    return isFirstResult(image) ? allocator : images[image].node.imageAllocator();
}

std::shared_ptr<ImageAllocator> NNGraph::Impl::allocatorFor(size_t image,
                                                            const EncodeOptions& how) const {
    std::shared_ptr<ImageAllocator> target;
    if (!how.ownAllocators) {
        target = TemporaryImage::defaultAllocator();
    } else if (how.leaving && leavesGraph(image)) {
        auto& asked = (*how.leaving)[image];
        if (!asked) asked = std::make_shared<Asked>();
        target = std::make_shared<LeavingAllocator>(asked);
    } else {
        target = ownAllocator(image);
    }
    return std::make_shared<NodeAllocator>(std::move(target), formatOf(image));
}

bool NNGraph::Impl::leavesGraph(size_t image) const {
    return isFirstResult(image) ||
           std::ranges::find(intermediateImages, image) != intermediateImages.end();
}

int64_t NNGraph::Impl::readsOutside(size_t image) const {
    return std::ranges::count(intermediateImages, image) + isFirstResult(image);
}

ImageFeatureChannelFormat NNGraph::Impl::formatOf(size_t image) const {
    const ImageFeatureChannelFormat own = images[image].node.format();
    return own == ImageFeatureChannelFormat::None ? format : own;
}

void NNGraph::Impl::checkCall(const Request& request) const {
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
    if (format != ImageFeatureChannelFormat::Float16 &&
        format != ImageFeatureChannelFormat::Float32 && format != ImageFeatureChannelFormat::Unorm8)
        throw InvalidArgument(who + "format is " + mps::nameOf(format) +
                              " but must be Float16, Float32 or Unorm8.");
}

void NNGraph::Impl::checkInputs(const Request& request) const {
    const std::string who = subject();
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

bool NNGraph::Impl::exportsState(const Step& step) const {
    return std::ranges::any_of(step.stateResults, [&](size_t s) { return states[s].isExported; });
}

NNGraph::Impl::Outcome NNGraph::Impl::encodeSteps(const Request& request,
                                                  const EncodeOptions& how) {
    Outcome out;
    out.images.resize(images.size());
    out.states.resize(states.size());
    for (size_t k = 0; k < inputImages.size(); ++k) out.images[inputImages[k]] = request.images[k];
    for (size_t k = 0; k < inputStates.size(); ++k) out.states[inputStates[k]] = request.states[k];
    const auto wholes = std::make_shared<Wholes>();
    if (how.layout)
        for (const auto& [slot, shape] : how.layout->wholes)
            wholes->all[slot] = {allocatorFor(slot, how), shape, {}};
    copyRemarks.clear();
    for (Step& step : steps) {
        const ImageSlot& slot = images[step.imageResult];
        mps::StageInputs in;
        in.commands = request.commands;
        in.isBatch = request.isBatch;
        in.padding = step.node->padding;
        in.wantsStates = step.wantsStates;
        in.temporaryStates = how.temporaryStates && (outputStateIsTemporary || !exportsState(step));
        in.resultIsNeeded = step.resultIsNeeded;
        in.mayBePart = isPlain(slot.node) && !slot.isResult && !slot.isExported;
        in.format = formatOf(step.imageResult);
        for (size_t s : step.imageSources) in.images.push_back(out.images[s]);
        for (size_t s : step.stateSources) in.states.push_back(out.states[s]);
        in.allocator = allocatorFor(step.imageResult, how);
        PartAllocator::Part part;
        if (how.layout && how.layout->parts.count(step.imageResult))
            part = how.layout->parts.at(step.imageResult);
        if (part || wholes->all.count(step.imageResult))
            in.allocator =
                std::make_shared<PartAllocator>(in.allocator, wholes, step.imageResult, part);
        mps::StageOutputs made;
        try {
            made = step.stage->encode(in);
        } catch (const InvalidArgument& error) {
            throw InvalidArgument(subject() + "In " + nameOf(step) + ": " + error.what());
        }
        if (step.node->concatenates() || step.node->takesChannels())
            copyRemarks.push_back(remarkOnCopies(step, made.copied));
        if (how.stepEnds)
            how.stepEnds->push_back(
                request.commands.impl().segments.back()->commands.commands().size());
        const int64_t reads = int64_t(slot.readers) + readsOutside(step.imageResult);
        if (!made.images.empty()) ImageBatchIncrementReadCount(made.images, reads - 1);
        out.images[step.imageResult] = std::move(made.images);
        for (size_t k = 0; k < step.stateResults.size(); ++k) {
            const StateSlot& state = states[step.stateResults[k]];
            // An update reads the gradients, too.
            const int64_t stateReads =
                int64_t(state.readers) + state.isExported + isUpdated(step.stateResults[k]);
            if (!made.states.empty()) StateBatchIncrementReadCount(made.states, stateReads - 1);
            out.states[step.stateResults[k]] = made.states;
        }
    }
    return out;
}

bool NNGraph::Impl::isUpdated(size_t state) const {
    return std::ranges::any_of(trained, [&](const Trained& each) { return each.state == state; });
}

bool NNGraph::Impl::updatesOnHost() const {
    return std::ranges::any_of(trained, [](const Trained& each) {
        return each.style == NNTrainingStyle::UpdateDeviceCPU;
    });
}

std::vector<MTL::CommandBuffer::Handler> NNGraph::Impl::update(const MTL::CommandBuffer& commands,
                                                               const std::vector<StateBatch>& made,
                                                               Plan* plan) {
    std::vector<MTL::CommandBuffer::Handler> handlers;
    mps::UpdateRun run(commands, plan && !trained.empty() ? &plan->updates : nullptr);
    // Every use of a weight in this encode comes before its change: reload when all are encoded.
    Loads loads;
    loads.reserve(2 * trained.size());
    for (const Trained& each : trained) {
        if (!each.style) continue;
        // The last gradient that is formed: the other updates need not wait for it.
        if (&each == &trained.back()) run.seal();
        const StateBatch& gradients = made[each.state];
        if (*each.style == NNTrainingStyle::UpdateDeviceGPU) {
            for (State& state : each.stage->update(commands, gradients, *each.exporter))
                if (state) loads.emplace_back(&each, std::move(state));
            const uint64_t left = states[each.state].isExported ? 1 : 0;
            if (plan) continue; // there are many
            for (const State& gradient : gradients)
                if (gradient.impl().temporary && gradient.impl().readCount > left)
                    gradient.impl().setReadCount(left);
        } else if (*each.style == NNTrainingStyle::UpdateDeviceCPU) {
            const State source = each.exporter->exportParameters(commands, false);
            std::vector<std::pair<mps::Stage*, mps::DeferredReload>> reloads;
            for (mps::Stage* reader : each.readers)
                if (auto reload = reader->deferredReload())
                    reloads.emplace_back(reader, std::move(reload));
            handlers.push_back([self = shared_from_this(), &each, gradients, source,
                                reloads](const MTL::CommandBuffer& done) {
                if (done.error() || !each.stage->updateOnHost(gradients, *each.exporter, source))
                    return;
                for (const auto& [reader, read] : reloads) {
                    auto loaded = read();
                    std::lock_guard lock(self->hostUpdatesMutex);
                    self->hostUpdates[reader] = std::move(loaded);
                }
            });
        }
    }
    reload(commands, loads, run);
    run.finish(made);
    return handlers;
}

void NNGraph::Impl::reload(const MTL::CommandBuffer& commands, const Loads& loads,
                           mps::UpdateRun& run) {
    const auto all = [&loads](const auto& visit) {
        return std::ranges::all_of(loads, [&](const auto& load) {
            return std::ranges::all_of(load.first->readers, [&](mps::Stage* reader) {
                return visit(*reader, load.second);
            });
        });
    };
    if (run.isRecognizing() && all([&](mps::Stage& reader, const State& state) {
            return run.isKnownLoad(reader, state);
        }) &&
        run.replay()) {
        all([&](mps::Stage& reader, const State&) {
            reader.reloadedAgain(commands);
            return true;
        });
        return;
    }
    if (run.isRecognizing()) run.record();
    for (const auto& [of, state] : loads) {
        for (mps::Stage* reader : of->readers) {
            // A temporary one is read by as many kernels as there are.
            if (state.isTemporary()) state.setReadCount(state.readCount() + 1);
            const bool isRemembered = run.beginLoad(state);
            if (reader->reload(commands, state)) forgetPlans();
            if (isRemembered) run.endLoad(*reader, state);
        }
        if (state.isTemporary() && state.readCount() > 0) state.setReadCount(0);
    }
}

void NNGraph::Impl::takeHostUpdates() {
    std::map<mps::Stage*, std::function<void()>> taken;
    {
        std::lock_guard lock(hostUpdatesMutex);
        taken.swap(hostUpdates);
    }
    for (const auto& [stage, take] : taken) take();
}

NNGraph::Impl::Made NNGraph::Impl::handOver(const Outcome& outcome) const {
    Made made;
    if (resultsNeeded[0]) made.result = outcome.images[results[0]];
    for (size_t slot : intermediateImages) made.intermediates.push_back(outcome.images[slot]);
    for (size_t slot : resultStates) made.states.push_back(outcome.states[slot]);
    return made;
}

NNGraph::Impl::Made NNGraph::Impl::encode(const Request& request) {
    checkCall(request);
    const auto latest = findLatest(request);
    if (!latest) checkInputs(request);
    takeHostUpdates();
    // What was replayed with has no read counts to keep.
    static const std::vector<ImageBatch> noImages;
    static const std::vector<StateBatch> noStates;
    mps::Draft draft(request.commands, subject(), latest ? noImages : request.images,
                     latest ? noStates : request.states);
    // An encode that was refused halfway has counted in some kernels.
    for (mps::Stage* stage : counting) stage->setEncodeCount(encodeCount);
    std::vector<MTL::CommandBuffer::Handler> handlers;
    Replay replayed;
    Made made;
    try {
        whyEncodedAnew = obstacleToReplay();
        if (whyEncodedAnew.empty() && !latest) whyEncodedAnew = externalsOf(request, externals);
        if (whyEncodedAnew.empty()) replayed = replay(request, latest);
        if (replayed.plan) {
            mps::Encoder encoder(request.commands, subject());
            replayed.plan->encode(encoder, std::move(replayed.operands));
            encoder.list().retain(replayed.plan);
            handlers = update(request.commands, replayed.plan->states, replayed.plan.get());
            made = std::move(replayed.made);
        } else {
            const Outcome outcome = encodeSteps(
                request, {.temporaryStates = !updatesOnHost(), .layout = layoutFor(request)});
            handlers = update(request.commands, outcome.states, nullptr);
            made = handOver(outcome);
        }
    } catch (...) {
        for (Step& step : steps) step.stage->encodeWasUndone();
        throw;
    }
    draft.keep();
    for (auto& handler : handlers) request.commands.addCompletedHandler(std::move(handler));
    ++encodeCount;
    return made;
}

} // namespace mpsvk::MPS
