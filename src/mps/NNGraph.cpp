#include "mps/NNGraph.hpp"

#include <mpsvk/Error.hpp>

#include <algorithm>
#include <iterator>
#include <map>

namespace mpsvk::MPS {

std::string NNGraph::Impl::subject() const { return MTL::subject("NNGraph", label); }

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
    Impl::Made made = impl().encode({{sourceImages, sourceStates}, commandBuffer, true});
    if (intermediateImages)
        std::ranges::move(made.intermediates, std::back_inserter(*intermediateImages));
    if (destinationStates) std::ranges::move(made.states, std::back_inserter(*destinationStates));
    return std::move(made.result);
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
    std::vector<ImageBatch> images;
    std::vector<StateBatch> states;
    for (const Image& image : sourceImages) images.push_back({image});
    for (const State& state : sourceStates) states.push_back({state});
    const Impl::Made made = impl().encode({{images, states}, commandBuffer, false});
    if (intermediateImages)
        for (const ImageBatch& batch : made.intermediates)
            intermediateImages->push_back(batch.at(0));
    if (destinationStates)
        for (const StateBatch& batch : made.states) destinationStates->push_back(batch.at(0));
    return made.result.empty() ? Image() : made.result[0];
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
    impl().forgetPlans(); // kernels may have new buffers, those before one that fails as well
    impl().takeHostUpdates();
    for (auto& step : impl().steps)
        if (step.stage->dataSource()) step.stage->reloadFromDataSource();
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
    impl().forgetPlans();
}
ImageFeatureChannelFormat NNGraph::format() const { return impl().format; }
void NNGraph::setFormat(ImageFeatureChannelFormat format) const {
    impl().format = format;
    impl().forgetPlans();
}
MTL::Device NNGraph::device() const { return impl().device; }
std::string NNGraph::label() const { return impl().label; }
void NNGraph::setLabel(const std::string& label) const { impl().label = label; }
KernelOptions NNGraph::options() const { return impl().options; }
void NNGraph::setOptions(KernelOptions options) const { impl().setOptions(options); }
uint64_t NNGraph::encodeCount() const { return impl().encodeCount; }

void NNGraph::setEncodeCount(uint64_t count) const {
    impl().encodeCount = count;
    for (mps::Stage* stage : impl().counting) stage->setEncodeCount(count);
}

std::string NNGraph::debugDescription() const { return impl().description(); }

namespace {

std::string textOf(const vk::CommandList::Traffic& traffic) {
    return std::to_string(traffic.read) + " bytes read, " + std::to_string(traffic.written) +
           " bytes written";
}

/// What a step does each time; empty where it does nothing.
std::string costOf(const NNGraph::Impl::Plan& plan, size_t step) {
    const size_t first = step > 0 ? plan.stepEnds[step - 1] : 0, last = plan.stepEnds[step];
    const auto commands = plan.recorded().commands().subspan(first, last - first);
    if (commands.empty()) return {};
    const auto dispatches = std::ranges::count(commands, vk::CommandList::Kind::Dispatch,
                                               &vk::CommandList::Command::kind);
    return ", " + std::to_string(dispatches) + (dispatches == 1 ? " dispatch, " : " dispatches, ") +
           textOf(plan.recorded().traffic(first, last));
}

} // namespace

std::string NNGraph::Impl::description() const {
    std::string text = subject() + std::to_string(steps.size()) + " steps\n";
    std::map<size_t, std::string> imageNames, stateNames;
    for (size_t k = 0; k < inputImages.size(); ++k)
        imageNames[inputImages[k]] = "input" + std::to_string(k);
    for (size_t k = 0; k < inputStates.size(); ++k)
        stateNames[inputStates[k]] = "inputState" + std::to_string(k);
    for (size_t i = 0; i < steps.size(); ++i) {
        const Step& step = steps[i];
        const std::string number = std::to_string(i);
        imageNames[step.imageResult] = "image" + number;
        for (size_t s : step.stateResults) stateNames[s] = "state" + number;
        text += "  " + number + " " + nameOf(step) + ":";
        for (size_t s : step.imageSources) text += " " + imageNames[s];
        for (size_t s : step.stateSources) text += " " + stateNames[s];
        text += " -> image" + number + (step.resultIsNeeded ? "" : " (not needed)");
        text += (plans.empty() ? "" : costOf(*plans.front(), i)) + "\n";
    }
    for (const auto* all : {&remarks, &copyRemarks})
        for (const std::string& remark : *all) text += "  " + remark + "\n";
    const std::string why = whyEncodedAnew.empty() ? obstacleToReplay() : whyEncodedAnew;
    text += why.empty() ? "  encodes are replayed\n" : "  encoded anew each time: " + why + "\n";
    for (const auto& plan : plans) {
        const auto traffic = plan->recorded().traffic(0, plan->recorded().commands().size());
        text += "  plan: " + std::to_string(plan->recorded().dispatchCount()) +
                " dispatches, arena " + std::to_string(plan->arenaBytes) +
                " bytes, largest sum of live tensors " + std::to_string(plan->liveBytes) +
                " bytes, traffic " + textOf(traffic) + "\n";
        if (plan->gatheredCount() > 0)
            text += "    on copies that lie together: " + plan->gatheredNames() + "\n";
    }
    return text;
}

} // namespace mpsvk::MPS
