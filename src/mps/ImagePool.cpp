#include "mps/ImagePool.hpp"

#include <algorithm>
#include <atomic>

namespace mpsvk::mps {

namespace {

bool isFree(const std::shared_ptr<ImageStorage>& storage) {
    if (storage.use_count() > 1 || !storage->isAllocated()) return false;
    // Command buffers, textures and the like hold the memory itself: the storage and this line do.
    if (storage->resource().use_count() > 2) return false;
    std::atomic_thread_fence(std::memory_order_acquire); // after what another thread did with it
    return true;
}

} // namespace

MPS::ImageBatch ImagePool::batch(const MTL::Device& device, const MPS::ImageDescriptor& descriptor,
                                 uint64_t count) {
    const auto found = std::ranges::find_if(storages_, isFree);
    if (found == storages_.end()) {
        MPS::ImageBatch fresh = MPS::Image::batch(device, descriptor, count);
        if (count > 0 && fresh.back().impl().storage != fresh[0].impl().storage) return fresh;
        // Who keeps every image keeps the oldest ones: the newest may come back.
        if (storages_.size() == most) storages_.pop_front();
        storages_.push_back(fresh.at(0).impl().storage);
        made_ = fresh[0].impl().descriptor;
        return fresh;
    }
    std::rotate(found, found + 1, storages_.end());
    MPS::ImageBatch batch;
    batch.reserve(count);
    for (uint64_t i = 0; i < count; ++i) {
        auto impl = std::make_shared<MPS::Image::Impl>();
        impl->descriptor = made_;
        impl->storage = storages_.back();
        impl->firstImage = i * made_.numberOfImages();
        batch.push_back(MPS::Image(std::move(impl)));
    }
    return batch;
}

} // namespace mpsvk::mps
