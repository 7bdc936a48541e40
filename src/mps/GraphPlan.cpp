#include "mps/GraphPlan.hpp"

#include "mps/CNNLossLabels.hpp"

#include <algorithm>
#include <unordered_map>
#include <utility>

namespace mpsvk::mps {

GraphPlan::GraphPlan(const MTL::CommandBuffer& user) : arena(planArena(user)) {
    const Recording made(user.device());
    recording = made.commands;
    heap = made.heap;
}

const vk::CommandList& GraphPlan::recorded() const {
    return recording.impl().segments.back()->commands;
}

void GraphPlan::placeTemporaries() {
    heap->finish();
    uint64_t largest = 0;
    for (const Tenant& tenant : heap->tenants()) largest = std::max(largest, tenant.bytes);
    chunk_ = arena->chunkBytes(largest);
    arenaBytes = placeApart(heap->tenants(), chunk_);
    liveBytes = largestSum(heap->tenants());
}

void GraphPlan::moveToArena() {
    const auto memory = arena->memory(arenaBytes, chunk_);
    if (memory == memory_) return;
    Resources places;
    for (const Tenant& tenant : heap->tenants())
        places.push_back(std::make_shared<vk::Buffer>(memory->chunks[tenant.offset / chunk_],
                                                      tenant.offset % chunk_, tenant.bytes));
    const auto placed = std::make_shared<Placed>();
    placed->commands.setTemplate();
    placed->commands.append(recorded(), heap->buffers(), places);
    placed->commands.forgetWrites(places); // no host reads there
    placed->uses = placed->commands.usesOf(replaced_);
    placed_ = placed;
    memory_ = memory;
}

void GraphPlan::encode(Encoder& encoder, Operands operands) {
    moveToArena();
    const auto kept = std::make_shared<const Operands>(std::move(operands));
    const Operands& now = *kept;
    size_t first = 0;
    const auto apartOf = [&](const Gather& gather) {
        const size_t count = externals_[gather.external].places.size();
        return std::span(now.inputs->gathered).subspan(std::exchange(first, first + count), count);
    };
    for (const Gather& gather : gathers_) {
        const auto apart = apartOf(gather);
        if (gather.isRead) gather.images.encode(encoder, apart, false);
    }
    encoder.list().include(placed_->commands, placed_->uses, now.inputs->replaced, now.leaving);
    first = 0;
    for (const Gather& gather : gathers_) {
        const auto apart = apartOf(gather);
        if (gather.isWritten) gather.images.encode(encoder, apart, true);
    }
    encoder.list().retain(placed_);
    encoder.list().retain(kept);
}

void GraphPlan::gather(size_t external, const ExternalBatch& batch) {
    const MPS::Image& first = *batch.images.at(0);
    MPS::ImageDescriptor d = first.impl().descriptor;
    d.setStorage(MPS::ImageStorage::Buffer);
    MPS::ImageBatch together = MPS::Image::batch(first.device(), d, batch.images.size());
    for (size_t i = 0; i < together.size(); ++i)
        together[i].impl().label = batch.images[i]->impl().label;
    gathers_.push_back(
        {external, batch.name(), batch.isWritten(), true, ImageGather(std::move(together))});
}

const MPS::ImageBatch* GraphPlan::gathered(size_t external) const {
    const auto found = std::ranges::find(gathers_, external, &Gather::external);
    return found == gathers_.end() ? nullptr : &found->images.together();
}

std::string GraphPlan::gatheredNames() const {
    std::string text;
    for (const Gather& gather : gathers_) text += (text.empty() ? "" : ", ") + gather.name;
    return text;
}

void GraphPlan::setExternals(Externals& recorded) {
    recorded.find();
    std::unordered_map<const vk::Resource*, size_t> known;
    for (const ExternalBatch& batch : recorded.batches()) {
        const bool isDirect = !gathered(externals_.size());
        Known& made = externals_.emplace_back();
        for (const FoundImage& place : batch.places) {
            made.places.push_back(place);
            if (!isDirect) continue;
            const auto [found, isNew] = known.emplace(place.get(), replaced_.size());
            if (isNew) replaced_.push_back(place.shared());
            made.resources.push_back(found->second);
        }
    }
    externalResources_ = replaced_.size();
    for (Gather& gather : gathers_) {
        const auto resource = gather.images.together()[0].impl().storage->resource();
        gather.isWritten =
            gather.isWritten && std::ranges::count(this->recorded().written(), resource) > 0;
        // Kernels write whole texels; but a loss may be one of several.
        gather.isRead = !gather.isWritten || externals_[gather.external].places[0].shape.slices > 1;
    }
}

void GraphPlan::replaceEachTime(const std::shared_ptr<vk::Resource>& standIn) {
    replaced_.push_back(standIn);
    heap->giveUp(standIn);
}

void GraphPlan::setLatest(const Externals& now, const GraphInputs& given,
                          const std::shared_ptr<const Inputs>& inputs) {
    uint64_t key = 0;
    for (const ExternalBatch& batch : now.batches())
        for (const MPS::Image* image : batch.images) key = key * 31 + (uintptr_t)&image->impl();
    latest_.given.clear();
    if (std::exchange(latest_.key, key) != key) return;
    latest_.given.set(given);
    latest_.replaced.assign(inputs->replaced.begin(), inputs->replaced.end());
    latest_.gathered.assign(inputs->gathered.begin(), inputs->gathered.end());
    latest_.inputs = inputs;
}

namespace {
/// Runs over several images were cut by their distances: those must be the same.
bool isAt(const ImagePlace& now, const ImagePlace& first, const ImagePlace& then,
          const ImagePlace& firstThen) {
    return (then.space == firstThen.space) == (now.space == first.space) &&
           (then.space != firstThen.space ||
            then.begin - firstThen.begin == now.begin - first.begin);
}
} // namespace

bool GraphPlan::fits(const Known& known, const ExternalBatch& now) {
    const bool isDirect = !known.resources.empty();
    for (size_t i = 0; i < now.places.size(); ++i) {
        const ImagePlace& then = known.places[i];
        const FoundImage& place = now.places[i];
        if (place.shape != then.shape) return false;
        if (!isDirect) continue;
        if (place.within != then.within || !isAt(place, now.places[0], then, known.places[0]))
            return false;
        const vk::Resource*& bound = bound_[known.resources[i]];
        if (!bound) bound = place.get();
        if (bound != place.get()) return false;
    }
    return true;
}

bool GraphPlan::fits(Externals& now) {
    const auto batches = now.batches();
    const auto sizesDiffer = [&](const ExternalBatch& batch) {
        return batch.images.size() != externals_[size_t(&batch - batches.data())].places.size();
    };
    if (batches.size() != externals_.size() || std::ranges::any_of(batches, sizesDiffer))
        return false;
    now.find();
    bound_.assign(externalResources_, nullptr);
    for (size_t k = 0; k < batches.size(); ++k)
        if (!fits(externals_[k], batches[k])) return false;
    return gathers_.empty() || now.writesApart();
}

bool GraphPlan::liesOtherwise(const Externals& now, size_t k) const {
    if (k >= externals_.size()) return false;
    const ExternalBatch& batch = now.batches()[k];
    const Known& known = externals_[k];
    if (known.resources.size() != batch.places.size()) return false;
    bool differs = false;
    for (size_t i = 0; i < batch.places.size(); ++i) {
        if (batch.places[i].shape != known.places[i].shape) return false;
        differs =
            differs || !isAt(batch.places[i], batch.places[0], known.places[i], known.places[0]);
    }
    return differs;
}

std::shared_ptr<const GraphPlan::Inputs> GraphPlan::latestInputs() {
    if (auto same = latest_.inputs.lock()) return same;
    const auto made = std::make_shared<Inputs>();
    made->replaced.reserve(latest_.replaced.size());
    made->gathered.reserve(latest_.gathered.size());
    for (const auto& resource : latest_.replaced) made->replaced.push_back(resource.lock());
    for (const auto& resource : latest_.gathered) made->gathered.push_back(resource.lock());
    latest_.inputs = made;
    return made;
}

std::shared_ptr<const GraphPlan::Inputs> GraphPlan::inputsFor(Externals& now,
                                                              const GraphInputs& given) {
    const auto made = std::make_shared<Inputs>();
    made->replaced.resize(externalResources_);
    const auto batches = now.batches();
    for (size_t k = 0; k < batches.size(); ++k)
        for (size_t i = 0; i < externals_[k].resources.size(); ++i)
            made->replaced[externals_[k].resources[i]] = batches[k].places[i].shared();
    for (Gather& gather : gathers_) {
        const auto& places = batches[gather.external].places;
        gather.images.find(places);
        for (const FoundImage& place : places) made->gathered.push_back(place.shared());
    }
    setLatest(now, given, made);
    return made;
}

MPS::StateBatch lossLabelsOn(const MPS::StateBatch& states, const MPS::ImageBatch* labels,
                             const MPS::ImageBatch* losses, const MPS::ImageBatch* weights) {
    MPS::StateBatch made;
    for (size_t i = 0; i < states.size(); ++i) {
        const auto& own = static_cast<const MPS::CNNLossLabels::Impl&>(states[i].impl());
        auto impl = std::make_shared<MPS::CNNLossLabels::Impl>(own.device);
        impl->label = own.label;
        impl->labels = labels ? (*labels)[i] : own.labels;
        impl->loss = losses ? (*losses)[i] : own.loss;
        impl->weights = weights ? (*weights)[i] : own.weights;
        made.push_back(MPS::State(std::move(impl)));
    }
    return made;
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
    buffer_.recordDeferred();
    segment_ = buffer_.segments.size() - 1;
    buffer_.segments.push_back(std::make_unique<MTL::CommandBuffer::Impl::Segment>());
    buffer_.segments.back()->commands.setTemplate();
    for (const auto& batch : images) hold(batch, images_);
    for (const auto& batch : states) hold(batch, states_);
    ++buffer_.drafts;
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
    --buffer_.drafts;
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
