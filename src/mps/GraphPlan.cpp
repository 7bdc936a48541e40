#include "mps/GraphPlan.hpp"

#include "mps/CNNLossLabels.hpp"

#include <algorithm>
#include <typeinfo>
#include <unordered_map>

namespace mpsvk::mps {

bool mayReplayWith(const ExternalImages& images) {
    return std::ranges::none_of(images,
                                [](const MPS::Image* image) { return image->impl().temporary; });
}

bool appendImagesOf(const MPS::StateBatch& states, std::vector<ExternalImages>& to) {
    ExternalImages labels, losses, weights;
    labels.reserve(states.size());
    losses.reserve(states.size());
    for (const MPS::State& state : states) {
        const detail::ObjectImpl& object = *state.shared();
        if (typeid(object) != typeid(MPS::CNNLossLabels::Impl)) return false;
        const auto* impl = static_cast<const MPS::CNNLossLabels::Impl*>(&object);
        labels.push_back(&impl->labels);
        losses.push_back(&impl->loss);
        if (impl->weights) weights.push_back(&impl->weights);
    }
    if (!weights.empty() && weights.size() != labels.size()) return false;
    to.push_back(std::move(labels));
    to.push_back(std::move(losses));
    if (!weights.empty()) to.push_back(std::move(weights));
    return true;
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

void GraphPlan::moveToArena() {
    const auto memory = arena->memory(arenaBytes, chunk_);
    if (memory == memory_) return;
    commands_.clear();
    Resources places;
    for (const Tenant& tenant : heap->tenants())
        places.push_back(std::make_shared<vk::Buffer>(memory->chunks[tenant.offset / chunk_],
                                                      tenant.offset % chunk_, tenant.bytes));
    commands_.append(recorded(), heap->buffers(), places);
    uses_ = commands_.usesOf(replaced_);
    memory_ = memory;
}

void GraphPlan::appendTo(vk::CommandList& list, Resources now) {
    moveToArena();
    list.append(commands_, uses_, now);
    list.retain(std::make_shared<Resources>(std::move(now)));
}

const vk::Resource* GraphPlan::Found::get() const {
    if (texture) return texture->get();
    return buffer->get();
}

std::shared_ptr<vk::Resource> GraphPlan::Found::shared() const {
    if (texture) return *texture;
    return *buffer;
}

GraphPlan::Found GraphPlan::find(const MPS::Image& image) {
    const auto& impl = image.impl();
    ImageStorage& storage = *impl.storage;
    const auto& d = impl.descriptor;
    const auto& shape = storage.shape();
    Found place;
    place.shape = {0,
                   d.width(),
                   d.height(),
                   d.featureChannels(),
                   d.numberOfImages(),
                   shape.slices,
                   d.channelFormat(),
                   shape.texture};
    if (shape.texture) {
        place.texture = &storage.texture();
        place.space = place.texture->get();
        place.shape.within = impl.firstImage * shape.slices + impl.firstSlice;
    } else {
        const auto& slice = storage.buffer();
        place.buffer = &slice.buffer;
        place.space = (const void*)slice.buffer->handle();
        place.shape.within = slice.offset + impl.firstImage * storage.imageBytes() +
                             impl.firstSlice * storage.bytesPerTexel();
        place.begin = slice.buffer->offset() + place.shape.within;
    }
    return place;
}

void GraphPlan::setExternals(const std::vector<ExternalImages>& recorded) {
    std::unordered_map<const vk::Resource*, size_t> known;
    for (const ExternalImages& images : recorded) {
        auto& places = externals_.emplace_back();
        for (const MPS::Image* image : images) {
            Found place = find(*image);
            const auto [found, isNew] = known.emplace(place.get(), replaced_.size());
            if (isNew) replaced_.push_back(place.shared());
            place.resource = found->second;
            places.push_back(place);
        }
    }
    externalResources_ = replaced_.size();
}

void GraphPlan::replaceEachTime(const std::shared_ptr<vk::Resource>& standIn) {
    replaced_.push_back(standIn);
    heap->giveUp(standIn);
}

bool GraphPlan::isLatest(const std::vector<ExternalImages>& now) const {
    auto known = latest_.images.begin();
    for (size_t k = 0; k < now.size(); ++k) {
        if (now[k].size() != externals_[k].size() || latest_.images.empty()) return false;
        for (const MPS::Image* image : now[k]) {
            if (known->image != &image->impl() || known->alive.expired()) return false;
            ++known;
        }
    }
    return true;
}

void GraphPlan::setLatest(const std::vector<ExternalImages>& now, const Resources& resources) {
    latest_.images.clear();
    for (const ExternalImages& images : now)
        for (const MPS::Image* image : images)
            latest_.images.push_back({&image->impl(), image->impl().weak_from_this()});
    latest_.resources.assign(resources.begin(), resources.end());
}

std::optional<GraphPlan::Resources>
GraphPlan::resourcesFor(const std::vector<ExternalImages>& now) {
    if (now.size() != externals_.size()) return std::nullopt;
    Resources resources(externalResources_);
    resources.reserve(replaced_.size());
    if (isLatest(now)) {
        for (size_t i = 0; i < externalResources_; ++i) resources[i] = latest_.resources[i].lock();
        return resources;
    }
    for (size_t k = 0; k < now.size(); ++k) {
        const auto& before = externals_[k];
        if (before.size() != now[k].size()) return std::nullopt;
        Place first;
        for (size_t i = 0; i < before.size(); ++i) {
            const Place& a = before[i];
            const Found b = find(*now[k][i]);
            if (i == 0) first = b;
            // Runs over several images were cut by their distances: those must be the same.
            const bool sameDistances =
                (a.space == before[0].space) == (b.space == first.space) &&
                (a.space != before[0].space || a.begin - before[0].begin == b.begin - first.begin);
            if (!sameDistances || a.shape != b.shape) return std::nullopt;
            auto& resource = resources[a.resource];
            if (!resource)
                resource = b.shared();
            else if (resource.get() != b.get())
                return std::nullopt;
        }
    }
    setLatest(now, resources);
    return resources;
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
    segments[segment_]->commands.take(own->commands);
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
