// Which images of a graph lie within others. Sizes are known at encode only: for a new shape of
// inputs the steps are encoded once into commands that are thrown away.
#include "mps/NNGraph.hpp"

#include <mpsvk/Error.hpp>

#include <algorithm>

namespace mpsvk::MPS {

namespace {

constexpr size_t mostLayouts = 8;

bool areSame(const ImageDescriptor& a, const ImageDescriptor& b) {
    return a.width() == b.width() && a.height() == b.height() &&
           a.featureChannels() == b.featureChannels() && a.numberOfImages() == b.numberOfImages() &&
           a.channelFormat() == b.channelFormat() && a.storage() == b.storage();
}

/// What a kernel asks its allocator for: without what makes an image a temporary one.
ImageDescriptor shapeOf(const ImageBatch& images) {
    const Image& first = images[0];
    ImageDescriptor d(first.featureChannelFormat(), first.width(), first.height(),
                      first.featureChannels(), first.numberOfImages());
    d.setStorage(first.storage());
    return d;
}

/// What a default allocator makes does not depend on when it is asked.
bool isDefault(const std::shared_ptr<ImageAllocator>& allocator) {
    return !allocator || allocator == Image::defaultAllocator() ||
           allocator == TemporaryImage::defaultAllocator();
}

} // namespace

std::string NNGraph::Impl::obstacleToPart(const Step& concatenation, size_t k) const {
    const size_t s = concatenation.imageSources[k];
    const size_t whole = concatenation.imageResult;
    const auto producer = std::ranges::find(steps, s, &Step::imageResult);
    if (producer == steps.end()) return "it is an input";
    if (producer->node->takesChannels()) return "it lies within a gradient";
    if (images[s].isExported || images[s].isResult) return "it leaves the graph";
    if (!isPlain(images[s].node)) return "it has an allocator of its own or is synchronized";
    if (!isDefault(isFirstResult(whole) ? allocator : images[whole].node.impl().allocator))
        return "the result has an allocator of its own";
    if (formatOf(s) != formatOf(whole)) return "its format is not the result's";
    return {};
}

std::string NNGraph::Impl::remarkOnCopies(const Step& step,
                                          const std::vector<size_t>& copied) const {
    const std::string name = nameOf(step);
    if (step.node->takesChannels())
        return name + (copied.empty() ? " lies within its source" : " copies its channels");
    if (copied.empty()) return name + " copies nothing: its sources are written in place";
    std::string text = name + " copies";
    for (size_t k : copied) {
        std::string why = obstacleToPart(step, k);
        if (why.empty()) why = "it lies elsewhere already, or in a texture";
        text += (k == copied[0] ? " source " : ", source ") + std::to_string(k) + " (" + why + ")";
    }
    return text;
}

const NNGraph::Impl::Layout* NNGraph::Impl::layoutFor(const Request& request) {
    const bool mayHaveParts = std::ranges::any_of(steps, [&](const Step& step) {
        if (!step.node->concatenates()) return false;
        for (size_t k = 0; k < step.imageSources.size(); ++k)
            if (obstacleToPart(step, k).empty()) return true;
        return false;
    });
    if (!mayHaveParts) return nullptr;
    Layout made;
    made.isBatch = request.isBatch;
    made.format = format;
    for (const ImageBatch& batch : request.images) {
        if (batch[0].storage() == ImageStorage::Texture) return nullptr;
        made.inputs.push_back(shapeOf(batch));
    }
    for (const StateBatch& batch : request.states) // a temporary one is of one command buffer
        for (const State& state : batch)
            if (state.isTemporary()) return nullptr;
    for (auto it = layouts.begin(); it != layouts.end(); ++it)
        if (it->isBatch == made.isBatch && it->format == made.format &&
            std::ranges::equal(it->inputs, made.inputs, areSame)) {
            layouts.splice(layouts.begin(), layouts, it);
            return &layouts.front();
        }

    const mps::Recording recording(device);
    std::vector<ImageBatch> inputs;
    for (size_t k = 0; k < request.images.size(); ++k) {
        inputs.push_back(
            TemporaryImage::batch(recording.commands, made.inputs[k], request.images[k].size()));
        ImageBatchIncrementReadCount(inputs[k], int64_t(images[inputImages[k]].readers));
    }
    const Request like{{inputs, request.states}, recording.commands, request.isBatch};
    const Outcome outcome = encodeSteps(like, {.temporaryStates = true, .ownAllocators = false});
    for (Step& step : steps) step.stage->encodeWasUndone();
    for (mps::Stage* stage : counting) stage->setEncodeCount(encodeCount);

    // The last concatenation first: what lies in one that lies in another lies in the latter.
    for (auto step = steps.rbegin(); step != steps.rend(); ++step) {
        if (!step->node->concatenates()) continue;
        const auto outer = made.parts.find(step->imageResult);
        Layout::Part place{step->imageResult, 0, {}};
        if (outer != made.parts.end()) place = outer->second;
        for (size_t k = 0; k < step->imageSources.size(); ++k) {
            const size_t s = step->imageSources[k];
            place.shape = shapeOf(outcome.images[s]);
            if (obstacleToPart(*step, k).empty() && made.parts.emplace(s, place).second)
                made.wholes.emplace(place.whole, shapeOf(outcome.images[place.whole]));
            place.firstSlice += mps::slicesFor(place.shape.featureChannels());
        }
    }
    layouts.push_front(std::move(made));
    if (layouts.size() > mostLayouts) layouts.pop_back();
    return &layouts.front();
}

} // namespace mpsvk::MPS
