#include "mps/Image.hpp"

#include <mpsvk/Error.hpp>

#include <algorithm>

namespace mpsvk::MPS {

ImageBatch Image::batchRepresentation() const { return batchRepresentation({0, numberOfImages()}); }

ImageBatch Image::batchRepresentation(MTL::Range range) const {
    auto& self = impl();
    if (range.length == 0 || range.length > numberOfImages() ||
        range.location > numberOfImages() - range.length)
        throw InvalidArgument(MTL::subject("Image", self.label) +
                              "batchRepresentation was asked for images " +
                              std::to_string(range.location) + " to " +
                              std::to_string(range.location + range.length) + " of " +
                              std::to_string(numberOfImages()) + ".");
    const uint64_t slices = mps::slicesFor(featureChannels());
    ImageBatch made;
    for (uint64_t i = 0; i < range.length; ++i)
        made.push_back(Image(*this, {(range.location + i) * slices, slices}, featureChannels()));
    // Each view of a temporary image holds one of its read counts; the first takes the one it has.
    if (self.temporary && self.readCount > 0) self.readCount += range.length - 1;
    return made;
}

Image Image::subImage(MTL::Range range) const {
    const auto& self = impl();
    const std::string who = MTL::subject("Image", self.label);
    if (numberOfImages() != 1)
        throw InvalidArgument(who + "subImage was asked of an image array with numberOfImages " +
                              std::to_string(numberOfImages()) +
                              ", but its slices do not lie together.");
    if (range.location % 4 != 0 || range.location >= featureChannels() || range.length == 0)
        throw InvalidArgument(who + "subImage was asked for channels from " +
                              std::to_string(range.location) +
                              ", which must be a multiple of 4 below the image's " +
                              std::to_string(featureChannels()) + ".");
    const uint64_t length = std::min(range.length, featureChannels() - range.location);
    if (length % 4 != 0 && length == range.length && range.location + length != featureChannels())
        throw InvalidArgument(who + "subImage was asked for " + std::to_string(range.length) +
                              " channels, which must be a multiple of 4.");
    return Image(*this, {range.location / 4, mps::slicesFor(length)}, length);
}

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
