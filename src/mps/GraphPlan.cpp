#include "mps/GraphPlan.hpp"

#include "mps/CNNLossLabels.hpp"

#include <algorithm>

namespace mpsvk::mps {

std::optional<ExternalBatch> externalBatch(const MPS::ImageBatch& images) {
    ExternalBatch batch;
    for (const MPS::Image& image : images) {
        const auto& impl = image.impl();
        if (impl.temporary) return std::nullopt;
        ImageStorage& storage = *impl.storage;
        ExternalPlace place;
        place.resource = storage.resource();
        place.width = image.width();
        place.height = image.height();
        place.channels = image.featureChannels();
        place.format = image.featureChannelFormat();
        if (storage.shape().texture) {
            place.space = place.resource.get();
            place.within = impl.firstImage * storage.shape().slices + impl.firstSlice;
        } else {
            const auto& slice = storage.buffer();
            place.space = (const void*)slice.buffer->handle();
            place.within = slice.offset + impl.firstImage * storage.imageBytes() +
                           impl.firstSlice * storage.bytesPerTexel();
            place.begin = slice.buffer->offset() + place.within;
        }
        batch.push_back(std::move(place));
    }
    return batch;
}

std::optional<std::vector<MPS::ImageBatch>> imagesOfStates(const MPS::StateBatch& states) {
    MPS::ImageBatch labels, weights, losses;
    for (const MPS::State& state : states) {
        const auto* impl = dynamic_cast<const MPS::CNNLossLabels::Impl*>(state.shared().get());
        if (!impl) return std::nullopt;
        labels.push_back(impl->labels);
        if (impl->weights) weights.push_back(impl->weights);
        losses.push_back(impl->loss);
    }
    std::vector<MPS::ImageBatch> all = {labels, losses};
    if (!weights.empty() && weights.size() != labels.size()) return std::nullopt;
    if (!weights.empty()) all.push_back(weights);
    return all;
}

GraphPlan::GraphPlan(const MTL::CommandBuffer& user) : arena(planArena(user)) {
    const Recording made(user.device());
    recording = made.commands;
    heap = made.heap;
    commands_.setTemplate();
}

const vk::CommandList& GraphPlan::recorded() const {
    return recording.impl().segments.back()->commands;
}

void GraphPlan::placeTemporaries() {
    heap->finish();
    uint64_t largest = 0;
    for (const Tenant& tenant : heap->tenants()) largest = std::max(largest, tenant.bytes);
    chunk_ = arena->chunkBytes(largest);
    arenaBytes = place(heap->tenants(), chunk_);
    liveBytes = largestSum(heap->tenants());
}

const vk::CommandList& GraphPlan::commands() {
    const auto memory = arena->memory(arenaBytes, chunk_);
    if (memory == memory_) return commands_;
    commands_.clear();
    std::vector<std::shared_ptr<vk::Resource>> places;
    for (const Tenant& tenant : heap->tenants())
        places.push_back(std::make_shared<vk::Buffer>(memory->chunks[tenant.offset / chunk_],
                                                      tenant.offset % chunk_, tenant.bytes));
    commands_.append(recorded(), heap->buffers(), places);
    memory_ = memory;
    return commands_;
}

std::optional<GraphPlan::Replacement>
GraphPlan::replacementFor(const std::vector<ExternalBatch>& now) const {
    if (now.size() != externals.size()) return std::nullopt;
    Replacement replacement;
    for (size_t k = 0; k < now.size(); ++k) {
        const ExternalBatch& before = externals[k];
        const ExternalBatch& after = now[k];
        if (before.size() != after.size()) return std::nullopt;
        for (size_t i = 0; i < before.size(); ++i) {
            const ExternalPlace &a = before[i], &b = after[i];
            // Runs over several images were cut by their distances: those must be the same.
            const bool sameDistances =
                (a.space == before[0].space) == (b.space == after[0].space) &&
                (a.space != before[0].space ||
                 a.begin - before[0].begin == b.begin - after[0].begin);
            if (!sameDistances || a.within != b.within || a.width != b.width ||
                a.height != b.height || a.channels != b.channels || a.format != b.format)
                return std::nullopt;
            const auto found = std::ranges::find(replacement.from, a.resource);
            if (found == replacement.from.end()) {
                replacement.from.push_back(a.resource);
                replacement.to.push_back(b.resource);
            } else if (replacement.to[size_t(found - replacement.from.begin())] != b.resource) {
                return std::nullopt;
            }
        }
    }
    return replacement;
}

namespace {
template <class Batch, class Held> void hold(const Batch& batch, Held& held) {
    for (const auto& object : batch) {
        auto& impl = object.impl();
        const bool known = std::ranges::any_of(held, [&](auto& h) { return h.first == object; });
        if (!impl.temporary || known) continue;
        held.emplace_back(object, impl.readCount);
        ++impl.readCount;
    }
}
} // namespace

Draft::Draft(const MTL::CommandBuffer& commands, const std::string& who,
             const std::vector<MPS::ImageBatch>& images, const std::vector<MPS::StateBatch>& states)
    : buffer_(commands.impl()) {
    buffer_.list(who);
    segment_ = buffer_.segments.size() - 1;
    buffer_.segments.push_back(std::make_unique<MTL::CommandBuffer::Impl::Segment>());
    buffer_.segments.back()->commands.setTemplate();
    for (const auto& batch : images) hold(batch, images_);
    for (const auto& batch : states) hold(batch, states_);
}

vk::CommandList& Draft::target() { return buffer_.segments[segment_]->commands; }

void Draft::keep() {
    using Segment = MTL::CommandBuffer::Impl::Segment;
    buffer_.checkNoEncoder("The encode of a graph"); // an update may have done anything
    auto& segments = buffer_.segments;
    const std::unique_ptr<Segment> own = std::move(segments[segment_ + 1]);
    if (own->waits.empty()) {
        segments.erase(segments.begin() + ptrdiff_t(segment_) + 1);
    } else { // an update waits for an event
        segments[segment_ + 1] = std::make_unique<Segment>();
        segments[segment_ + 1]->waits = own->waits;
        ++segment_;
    }
    target().append(own->commands);
    segments[segment_]->signals = own->signals;
    for (const auto& [image, count] : images_) image.impl().wasRead();
    for (const auto& [state, count] : states_) state.impl().wasRead();
    kept_ = true;
}

Draft::~Draft() {
    if (kept_) return;
    buffer_.segments.resize(segment_ + 1);
    for (const auto& [image, count] : images_) image.impl().readCount = count;
    for (const auto& [state, count] : states_) state.impl().readCount = count;
}

MTL::CommandBuffer recordingCommandBuffer(const MTL::Device& device) {
    auto impl = std::make_shared<MTL::CommandBuffer::Impl>(device);
    impl->segments.back()->commands.setTemplate();
    return MTL::CommandBuffer(std::move(impl));
}

Recording::Recording(const MTL::Device& device) : commands(recordingCommandBuffer(device)) {
    heap = std::make_shared<PlanHeap>(device.impl().vk, commands.impl().weak_from_this());
    setTemporaryHeap(commands, heap);
}

} // namespace mpsvk::mps
