#include "mps/ExternalImages.hpp"

#include "mps/CNNLossLabels.hpp"

#include <algorithm>
#include <typeinfo>

namespace mpsvk::mps {

FoundImage::FoundImage(const MPS::Image& image) {
    const auto& impl = image.impl();
    ImageStorage& storage = *impl.storage;
    const auto& d = impl.descriptor;
    const auto& stored = storage.shape();
    shape = {d.width(),     d.height(),        d.featureChannels(), d.numberOfImages(),
             stored.slices, d.channelFormat(), stored.texture};
    if (stored.texture) {
        texture_ = &storage.texture();
        space = texture_->get();
        within = impl.firstImage * stored.slices + impl.firstSlice;
    } else {
        const auto& slice = storage.buffer();
        buffer_ = &slice.buffer;
        space = (const void*)slice.buffer->handle();
        within = slice.offset + impl.firstImage * storage.imageBytes() +
                 impl.firstSlice * storage.bytesPerTexel();
        begin = slice.buffer->offset() + within;
    }
}

const vk::Resource* FoundImage::get() const {
    if (texture_) return texture_->get();
    return buffer_->get();
}

std::shared_ptr<vk::Resource> FoundImage::shared() const {
    if (texture_) return *texture_;
    return *buffer_;
}

std::string ExternalBatch::name() const {
    const std::string number = std::to_string(input);
    switch (role) {
    case Role::Labels: return "the labels of inputState" + number;
    case Role::Losses: return "the losses of inputState" + number;
    case Role::Weights: return "the weights of inputState" + number;
    default: return "input" + number;
    }
}

bool ExternalBatch::isRun(uint64_t mostBytes) const {
    if (places.size() < 2) return true;
    const uint64_t step = places[1].begin - places[0].begin; // that of a run downwards wraps
    for (size_t i = 1; i < places.size(); ++i)
        if (places[i].space != places[0].space || places[i].begin - places[i - 1].begin != step)
            return false;
    const auto [low, high] = std::minmax(places.front().begin, places.back().begin);
    const auto& storage = *images[0]->impl().storage;
    const uint64_t bytes = places[0].shape.images * storage.imageBytes();
    return high + bytes - low + vk::Memory::alignment <= mostBytes;
}

bool ExternalBatch::areAlike() const {
    const ImageShape& shape = places[0].shape;
    return !shape.isTexture && shape.slices == slicesFor(shape.channels) &&
           std::ranges::all_of(places, [&](const FoundImage& p) { return p.shape == shape; });
}

void Externals::clear() {
    count_ = 0;
    areFound_ = false;
    writesApart_.reset();
}

ExternalBatch& Externals::add(ExternalBatch::Role role, size_t input, size_t images) {
    if (count_ == batches_.size()) batches_.emplace_back();
    ExternalBatch& batch = batches_[count_++];
    batch.role = role;
    batch.input = input;
    batch.images.clear();
    batch.images.reserve(images);
    return batch;
}

bool Externals::add(const MPS::StateBatch& states, size_t input) {
    using Role = ExternalBatch::Role;
    const size_t first = count_, count = states.size();
    for (const Role role : {Role::Labels, Role::Losses, Role::Weights}) add(role, input, count);
    auto& labels = batches_[first].images;
    auto& losses = batches_[first + 1].images;
    auto& weights = batches_[first + 2].images;
    for (const MPS::State& state : states) {
        const detail::ObjectImpl& object = *state.shared();
        if (typeid(object) != typeid(MPS::CNNLossLabels::Impl)) return false;
        const auto& impl = static_cast<const MPS::CNNLossLabels::Impl&>(object);
        labels.push_back(&impl.labels);
        losses.push_back(&impl.loss);
        if (impl.weights) weights.push_back(&impl.weights);
    }
    if (weights.empty()) --count_;
    return weights.empty() || weights.size() == count;
}

void Externals::find() {
    if (areFound_) return;
    areFound_ = true;
    for (size_t k = 0; k < count_; ++k) {
        ExternalBatch& batch = batches_[k];
        batch.places.clear();
        for (const MPS::Image* image : batch.images) batch.places.emplace_back(*image);
    }
}

bool Externals::writesApart() {
    if (writesApart_) return *writesApart_;
    written_.clear();
    for (const ExternalBatch& batch : batches())
        if (batch.isWritten())
            for (const FoundImage& place : batch.places) written_.push_back(place.get());
    std::ranges::sort(written_);
    bool apart = std::ranges::adjacent_find(written_) == written_.end();
    for (const ExternalBatch& batch : batches()) {
        if (batch.isWritten() || written_.empty()) continue;
        for (const FoundImage& place : batch.places)
            apart = apart && !std::ranges::binary_search(written_, place.get());
    }
    writesApart_ = apart;
    return apart;
}

} // namespace mpsvk::mps
