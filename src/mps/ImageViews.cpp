#include "mps/Image.hpp"

#include <algorithm>

namespace mpsvk::MPS {

ImageBatch channelViews(const ImageBatch& parents, uint64_t firstSlice, uint64_t channels) {
    ImageBatch made;
    made.reserve(parents.size());
    for (const Image& parent : parents) {
        const auto same = std::ranges::find(parents, parent);
        if (size_t(same - parents.begin()) < made.size()) { // one that the batch names twice
            made.push_back(made[size_t(same - parents.begin())]);
            continue;
        }
        const auto view = std::make_shared<Image::Impl>();
        view->parent = parent.impl().shared_from_this();
        view->descriptor = view->parent->descriptor;
        view->descriptor.setFeatureChannels(channels);
        view->storage = view->parent->storage;
        view->firstImage = view->parent->firstImage;
        view->firstSlice = view->parent->firstSlice + firstSlice;
        view->temporary = view->parent->temporary;
        view->readCount = view->temporary ? 1 : 0;
        made.push_back(Image(view));
    }
    return made;
}

} // namespace mpsvk::MPS
