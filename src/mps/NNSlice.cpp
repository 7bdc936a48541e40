#include "NNReshape.h"
#include "mps/Pass.hpp"
#include "mps/PassChecks.hpp"

#include <mpsvk/Error.hpp>
#include <mpsvk/MPS/NNSlice.hpp>

#include <algorithm>

namespace mpsvk::MPS {

uint64_t NNSlice::channelsWritten(uint64_t sourceChannels, const Image& destination) const {
    return mps::channelsInUse(destination, destinationFeatureChannelOffset(), sourceChannels);
}

void NNSlice::customizeDestination(const ImageBatch& sources, ImageDescriptor& d) {
    const auto end = [&](uint64_t origin, uint64_t length, int64_t offset, uint64_t size) {
        if (length != UINT64_MAX) return origin + length;
        const int64_t left = int64_t(size) - std::max<int64_t>(offset, 0);
        return left > 0 ? origin + uint64_t(left) : 0;
    };
    const MTL::Region& clip = clipRect();
    d.setWidth(end(clip.origin.x, clip.size.width, offset().x, sources[0].width()));
    d.setHeight(end(clip.origin.y, clip.size.height, offset().y, sources[0].height()));
    if (d.width() == 0 || d.height() == 0)
        throw InvalidArgument(subject() + "offset (" + std::to_string(offset().x) + ", " +
                              std::to_string(offset().y) + ") and clipRect leave no pixel of the " +
                              mps::sizeText(sources[0].width(), sources[0].height()) +
                              " sourceImage.");
}

void NNSlice::dispatch(const mps::UnaryPass& pass) const {
    const auto limited = [](int64_t v) { return int(std::clamp<int64_t>(v, -(1 << 30), 1 << 30)); };
    const glsl::NNSliceParameters parameters{
        .source = pass.sourceView,
        .destination = pass.destinationView,
        .clipX = int(pass.clip.x),
        .clipY = int(pass.clip.y),
        .offsetX = limited(pass.offset.x),
        .offsetY = limited(pass.offset.y),
        .clampEdges = pass.edgeMode == ImageEdgeMode::Clamp,
    };
    pass.encoder->dispatch("NNSlice", parameters, pass.clipGrid(),
                           {{1, pass.source}, {2, pass.destination}});
}

} // namespace mpsvk::MPS
