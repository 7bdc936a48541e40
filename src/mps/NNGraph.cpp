#include "mps/NNGraph.hpp"

#include "mps/PassChecks.hpp"

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

std::string NNGraph::Impl::subject() const { return MTL::subject("NNGraph", label); }

void NNGraph::Impl::checkRequest(const Request& request) const {
    const std::string who = subject();
    if (!request.commands) throw InvalidArgument(who + "The command buffer handle is empty.");
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
        const std::string kernelLabel = step.stage->kernel().label();
        mps::StageOutputs made = step.stage->encode(in);
        const int64_t reads = int64_t(slot.readers) + (slot.isExported || slot.isResult ? 1 : 0);
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

void NNGraph::Impl::update(const MTL::CommandBuffer& commands, const Outcome& outcome) {
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
            commands.addCompletedHandler([self = shared_from_this(), stage = step.stage.get(),
                                          gradients, source,
                                          &exporter](const MTL::CommandBuffer& done) {
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
}

bool NNGraph::Impl::canReplay(const Request& request) const {
    if (missesInARow > 8 || updatesOnHost() || !intermediateImages.empty() || !resultStates.empty())
        return false;
    for (const Step& step : steps)
        if (!step.stage->replays()) return false;
    for (const StateBatch& batch : request.states)
        for (const State& state : batch)
            if (state.isTemporary()) return false;
    return allocator == Image::defaultAllocator() || !resultsNeeded[0];
}

NNGraph::Impl::Outcome NNGraph::Impl::replay(const Request& request) {
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

    std::shared_ptr<Plan> plan;
    ImageBatch result;
    std::optional<mps::GraphPlan::Replacement> replacement;
    for (auto it = plans.begin(); it != plans.end() && !plan; ++it) {
        if ((*it)->isBatch != request.isBatch) continue;
        auto now = externals;
        if (resultsNeeded[0]) {
            const Image& like = (*it)->outcome.images[results[0]][0];
            result = Image::batch(device, like.impl().descriptor,
                                  (*it)->outcome.images[results[0]].size());
            now.push_back(*mps::externalBatch(result));
        }
        replacement = (*it)->replacementFor(now);
        if (!replacement) continue;
        plan = *it;
        plans.splice(plans.begin(), plans, it);
    }
    missesInARow = plan ? 0 : missesInARow + 1;
    auto& list = request.commands.impl().list(subject());
    Outcome outcome;
    if (!plan) {
        plan = std::make_shared<Plan>();
        plan->recording = mps::recordingCommandBuffer(device);
        plan->isBatch = request.isBatch;
        plan->outcome = encodeSteps(plan->recording, request, false);
        if (resultsNeeded[0])
            externals.push_back(*mps::externalBatch(plan->outcome.images[results[0]]));
        plan->externals = std::move(externals);
        plans.push_front(plan);
        if (plans.size() > mostPlans) plans.pop_back();
        outcome = plan->outcome;
        if (resultsNeeded[0]) { // the recording's own result stays with the recording
            const Image& like = plan->outcome.images[results[0]][0];
            result = Image::batch(device, like.impl().descriptor,
                                  plan->outcome.images[results[0]].size());
            auto now = plan->externals;
            now.back() = *mps::externalBatch(result);
            replacement = plan->replacementFor(now);
        }
    } else {
        outcome = plan->outcome;
    }
    if (resultsNeeded[0]) outcome.images[results[0]] = result;
    const auto& commands = plan->recording.impl().segments.back()->commands;
    if (replacement)
        list.append(commands, replacement->from, replacement->to);
    else
        list.append(commands);
    list.retain(plan);
    return outcome;
}

void NNGraph::Impl::releaseInputs(const Request&) const {
    // Every step lowers the read counts of what it reads, inputs included: nothing is left to do.
}

NNGraph::Impl::Outcome NNGraph::Impl::encode(const Request& request) {
    checkRequest(request);
    request.commands.impl().list(
        subject()); // refuses a committed command buffer before anything is made
    // An encode that was refused halfway has counted in some kernels.
    for (Step& step : steps) step.stage->setEncodeCount(encodeCount);
    Outcome outcome;
    if (canReplay(request)) outcome = replay(request);
    if (outcome.images.empty()) outcome = encodeSteps(request.commands, request, !updatesOnHost());
    update(request.commands, outcome);
    ++encodeCount;
    return outcome;
}

std::vector<ImageBatch> NNGraph::Impl::intermediates(const Outcome& outcome) const {
    std::vector<ImageBatch> all;
    for (size_t slot : intermediateImages) all.push_back(outcome.images[slot]);
    return all;
}

NNGraph::NNGraph(const MTL::Device& device, const NNImageNode& resultImage,
                 bool resultImageIsNeeded)
    : NNGraph(device, std::vector<NNImageNode>{resultImage},
              std::vector<bool>{resultImageIsNeeded}) {}

NNGraph::NNGraph(const MTL::Device& device, const std::vector<NNImageNode>& resultImages,
                 const std::vector<bool>& resultsAreNeeded)
    : Object(std::make_shared<Impl>(device, resultImages, resultsAreNeeded)) {}

NNGraph::Impl& NNGraph::impl() const {
    if (!impl_) throw InvalidArgument("[NNGraph] The graph handle is empty.");
    return static_cast<Impl&>(*impl_);
}

bool NNGraph::isKindOf(const detail::ObjectImpl& object) {
    return dynamic_cast<const Impl*>(&object) != nullptr;
}

ImageBatch NNGraph::encodeBatch(const MTL::CommandBuffer& commandBuffer,
                                const std::vector<ImageBatch>& sourceImages,
                                const std::vector<StateBatch>& sourceStates) const {
    return encodeBatch(commandBuffer, sourceImages, sourceStates, nullptr, nullptr);
}

ImageBatch NNGraph::encodeBatch(const MTL::CommandBuffer& commandBuffer,
                                const std::vector<ImageBatch>& sourceImages,
                                const std::vector<StateBatch>& sourceStates,
                                std::vector<ImageBatch>* intermediateImages,
                                std::vector<StateBatch>* destinationStates) const {
    Impl& self = impl();
    auto outcome = self.encode({commandBuffer, sourceImages, sourceStates, true});
    if (intermediateImages)
        for (ImageBatch& batch : self.intermediates(outcome))
            intermediateImages->push_back(std::move(batch));
    if (destinationStates)
        for (size_t slot : self.resultStates) destinationStates->push_back(outcome.states[slot]);
    return self.resultsNeeded[0] ? outcome.images[self.results[0]] : ImageBatch{};
}

Image NNGraph::encode(const MTL::CommandBuffer& commandBuffer,
                      const std::vector<Image>& sourceImages) const {
    return encode(commandBuffer, sourceImages, {}, nullptr, nullptr);
}

Image NNGraph::encode(const MTL::CommandBuffer& commandBuffer,
                      const std::vector<Image>& sourceImages,
                      const std::vector<State>& sourceStates,
                      std::vector<Image>* intermediateImages,
                      std::vector<State>* destinationStates) const {
    Impl& self = impl();
    Impl::Request request{commandBuffer, {}, {}, false};
    for (const Image& image : sourceImages) request.images.push_back({image});
    for (const State& state : sourceStates) request.states.push_back({state});
    auto outcome = self.encode(request);
    if (intermediateImages)
        for (const ImageBatch& batch : self.intermediates(outcome))
            intermediateImages->push_back(batch.at(0));
    if (destinationStates)
        for (size_t slot : self.resultStates)
            destinationStates->push_back(outcome.states[slot].at(0));
    return self.resultsNeeded[0] ? outcome.images[self.results[0]].at(0) : Image();
}

Image NNGraph::executeAsync(const std::vector<Image>& sourceImages,
                            CompletionHandler handler) const {
    Impl& self = impl();
    if (sourceImages.empty())
        throw InvalidArgument(self.subject() +
                              "executeAsync takes at least one source image but was given none.");
    MTL::CommandBuffer commands;
    Image result;
    {
        std::lock_guard lock(self.asyncMutex);
        if (!self.asyncQueue) self.asyncQueue = self.device.newCommandQueue();
        commands = self.asyncQueue.commandBuffer();
        result = encode(commands, sourceImages);
    }
    if (handler)
        commands.addCompletedHandler([handler, result](const MTL::CommandBuffer& done) {
            const MTL::CommandBufferError error = done.error();
            handler(error ? Image() : result, error.description);
        });
    commands.commit();
    return result;
}

void NNGraph::reloadFromDataSources() const {
    for (auto& step : impl().steps)
        if (step.stage->dataSource()) step.stage->reloadFromDataSource();
    impl().plans.clear(); // a kernel may have new buffers
}

uint64_t NNGraph::readCountForSourceImage(uint64_t index) const {
    if (index >= impl().inputImages.size())
        throw InvalidArgument(impl().subject() + "Source image " + std::to_string(index) +
                              " was asked for but there are " +
                              std::to_string(impl().inputImages.size()) + ".");
    return impl().images[impl().inputImages[index]].readers;
}

uint64_t NNGraph::readCountForSourceState(uint64_t index) const {
    if (index >= impl().inputStates.size())
        throw InvalidArgument(impl().subject() + "Source state " + std::to_string(index) +
                              " was asked for but there are " +
                              std::to_string(impl().inputStates.size()) + ".");
    return impl().states[impl().inputStates[index]].readers;
}

namespace {
template <class Slots>
std::vector<std::shared_ptr<Handle>> handlesOf(const Slots& slots,
                                               const std::vector<size_t>& indices) {
    std::vector<std::shared_ptr<Handle>> handles;
    for (size_t slot : indices) handles.push_back(slots[slot].node.handle());
    return handles;
}
} // namespace

std::vector<std::shared_ptr<Handle>> NNGraph::sourceImageHandles() const {
    return handlesOf(impl().images, impl().inputImages);
}
std::vector<std::shared_ptr<Handle>> NNGraph::sourceStateHandles() const {
    return handlesOf(impl().states, impl().inputStates);
}
std::vector<std::shared_ptr<Handle>> NNGraph::intermediateImageHandles() const {
    return handlesOf(impl().images, impl().intermediateImages);
}
std::vector<std::shared_ptr<Handle>> NNGraph::resultStateHandles() const {
    return handlesOf(impl().states, impl().resultStates);
}
std::shared_ptr<Handle> NNGraph::resultHandle() const {
    return impl().images[impl().results[0]].node.handle();
}
bool NNGraph::resultImageIsNeeded() const { return impl().resultsNeeded[0]; }
bool NNGraph::outputStateIsTemporary() const { return impl().outputStateIsTemporary; }
void NNGraph::setOutputStateIsTemporary(bool value) const { impl().outputStateIsTemporary = value; }
std::shared_ptr<ImageAllocator> NNGraph::destinationImageAllocator() const {
    return impl().allocator;
}
void NNGraph::setDestinationImageAllocator(std::shared_ptr<ImageAllocator> allocator) const {
    impl().allocator = allocator ? std::move(allocator) : Image::defaultAllocator();
    impl().plans.clear();
}
ImageFeatureChannelFormat NNGraph::format() const { return impl().format; }
void NNGraph::setFormat(ImageFeatureChannelFormat format) const {
    if (format != ImageFeatureChannelFormat::Float16 &&
        format != ImageFeatureChannelFormat::Float32 && format != ImageFeatureChannelFormat::Unorm8)
        throw InvalidArgument(impl().subject() + "format must be Float16, Float32 or Unorm8.");
    impl().format = format;
    impl().plans.clear();
}
MTL::Device NNGraph::device() const { return impl().device; }
std::string NNGraph::label() const { return impl().label; }
void NNGraph::setLabel(const std::string& label) const { impl().label = label; }
KernelOptions NNGraph::options() const { return impl().options; }
void NNGraph::setOptions(KernelOptions options) const { impl().options = options; }
uint64_t NNGraph::encodeCount() const { return impl().encodeCount; }

void NNGraph::setEncodeCount(uint64_t count) const {
    impl().encodeCount = count;
    for (auto& step : impl().steps) step.stage->setEncodeCount(count);
}

std::string NNGraph::debugDescription() const {
    const Impl& self = impl();
    std::string text = self.subject() + std::to_string(self.steps.size()) + " steps\n";
    for (size_t i = 0; i < self.steps.size(); ++i) {
        const auto& step = self.steps[i];
        text += "  " + std::to_string(i) + " " + step.node->className;
        if (!step.node->label.empty()) text += " \"" + step.node->label + "\"";
        text += ":";
        for (size_t s : step.imageSources) text += " image" + std::to_string(s);
        for (size_t s : step.stateSources) text += " state" + std::to_string(s);
        text += " -> image" + std::to_string(step.imageResult) +
                (step.resultIsNeeded ? "" : " (not needed)") + "\n";
    }
    for (const auto& plan : self.plans)
        text += "  plan: " +
                std::to_string(plan->recording.impl().segments.back()->commands.dispatchCount()) +
                " dispatches, arena peak " +
                std::to_string(mps::temporaryHeap(plan->recording)->peakBytes()) + " bytes\n";
    return text;
}

} // namespace mpsvk::MPS
