#include "mps/Concatenation.hpp"

#include "mps/Pass.hpp"

#include <mpsvk/Error.hpp>

#include <algorithm>

namespace mpsvk::mps {

using MPS::Image;
using MPS::ImageBatch;

namespace {

/// Where each source's channels lie.
struct ConcatenationState : MPS::NNGradientState::Impl {
    using Impl::Impl;
    std::vector<uint64_t> offsets, channels;
};

std::string subjectOf(const MPS::Kernel& kernel, const char* name) {
    return MTL::subject(name, kernel.label());
}

void checkSize(const std::string& who, const std::string& what, const Image& image,
               const char* otherName, const Image& other) {
    if (image.width() == other.width() && image.height() == other.height()) return;
    throw InvalidArgument(who + what + " is " + sizeText(image.width(), image.height()) + " but " +
                          otherName + " " + sizeText(other.width(), other.height()) + ".");
}

/// The images are these slices of the others.
bool isPart(const ImageBatch& images, const ImageBatch& others, uint64_t firstSlice) {
    return std::ranges::equal(images, others, [&](const Image& image, const Image& other) {
        return image.impl().storage == other.impl().storage &&
               image.impl().firstImage == other.impl().firstImage &&
               image.impl().firstSlice == other.impl().firstSlice + firstSlice;
    });
}

} // namespace

StageOutputs ConcatenationStage::encode(const StageInputs& in) {
    const std::string who = subjectOf(slice_, "NNConcatenation");
    const Image& first = in.images[0][0];
    std::vector<uint64_t> offsets, channels;
    uint64_t end = 0;
    for (size_t k = 0; k < in.images.size(); ++k) {
        const Image& source = in.images[k][0];
        checkSize(who, "Source " + std::to_string(k), source, "source 0", first);
        offsets.push_back(end);
        channels.push_back(source.featureChannels());
        end += slicesFor(source.featureChannels()) * 4;
    }
    MPS::ImageDescriptor d(first.featureChannelFormat(), first.width(), first.height(), end,
                           first.numberOfImages());
    d.setStorage(first.storage());
    StageOutputs out;
    out.images = in.isBatch ? in.allocator->imageBatch(in.commands, d, slice_, in.images[0].size())
                            : ImageBatch{in.allocator->image(in.commands, d, slice_)};
    // The graph counts a source once; here each place reads it.
    for (auto place = in.images.begin(); place != in.images.end(); ++place)
        if (std::find(in.images.begin(), place, *place) != place)
            ImageBatchIncrementReadCount(*place, 1);
    for (size_t k = 0; k < in.images.size(); ++k) {
        if (isPart(in.images[k], out.images, offsets[k] / 4)) {
            markRead(in.images[k]);
            continue;
        }
        out.copied.push_back(k);
        const ImageBatch place = channelViews(out.images, offsets[k] / 4, channels[k]);
        if (in.isBatch)
            slice_.encodeBatch(in.commands, in.images[k], place);
        else
            slice_.encode(in.commands, in.images[k][0], place[0]);
    }
    if (!in.wantsStates) return out;
    for (size_t i = 0; i < out.images.size(); ++i) {
        ForwardRecord record;
        record.className = "NNConcatenation";
        auto state = std::make_shared<ConcatenationState>(slice_.device(), record);
        state->offsets = offsets;
        state->channels = channels;
        out.states.push_back(MPS::NNGradientState(std::move(state)));
    }
    return out;
}

// A view's last slice must hold nothing else: kernels may count on zeros there.
bool ConcatenationGradientStage::mayBeView(const StageInputs& in, uint64_t channels) const {
    return in.mayBePart && channels % 4 == 0 && in.images[0][0].featureChannelFormat() == in.format;
}

StageOutputs ConcatenationGradientStage::encode(const StageInputs& in) {
    const std::string who = subjectOf(slice_, "NNConcatenationGradient");
    const auto* state =
        dynamic_cast<const ConcatenationState*>(in.states.at(0).at(0).shared().get());
    if (!state) throw InvalidArgument(who + "gradientState is none of a concatenation.");
    if (index_ >= state->channels.size()) // from an archive
        throw InvalidArgument(who + "Source " + std::to_string(index_) + " was asked for but " +
                              std::to_string(state->channels.size()) + " were concatenated.");
    const Image& source = in.images[1][0];
    checkSize(who, "sourceGradient", in.images[0][0], "sourceImage", source);
    if (source.featureChannels() != state->channels[index_])
        throw InvalidArgument(who + "sourceImage has " + std::to_string(source.featureChannels()) +
                              " feature channels but what was concatenated had " +
                              std::to_string(state->channels[index_]) + ".");
    StageOutputs out;
    if (mayBeView(in, source.featureChannels())) {
        // Its reader is the gradient's: what reads the view to the end has read the gradient.
        out.images =
            channelViews(in.images[0], state->offsets[index_] / 4, source.featureChannels());
    } else {
        out.copied = {0};
        slice_.setSourceFeatureChannelOffset(state->offsets[index_]);
        slice_.setSourceFeatureChannelMaxCount(state->channels[index_]);
        slice_.setDestinationImageAllocator(in.allocator);
        out.images = in.isBatch ? slice_.encodeBatch(in.commands, in.images[0])
                                : ImageBatch{slice_.encode(in.commands, in.images[0][0])};
    }
    markRead(in.images[1]);
    markRead(in.states[0]);
    return out;
}

} // namespace mpsvk::mps
