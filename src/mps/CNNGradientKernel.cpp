#include "mps/Archive.hpp"
#include "mps/Pass.hpp"
#include "mps/PassChecks.hpp"
#include "mps/Undo.hpp"

#include <mpsvk/Error.hpp>

namespace mpsvk::MPS {

namespace {

const mps::ForwardRecord* recordOf(const State& state) {
    const auto* unary = dynamic_cast<const NNGradientState::Impl*>(state.shared().get());
    return unary ? &unary->record : nullptr;
}

} // namespace

void CNNGradientKernel::archive(mps::Archive& archive) {
    CNNBinaryKernel::archive(archive);
    archive("kernelOffsetX", kernelOffsetX_);
    archive("kernelOffsetY", kernelOffsetY_);
}

void CNNGradientKernel::takeForwardRecord(const mps::ForwardRecord& r) {
    setPrimaryOffset({0, 0, int64_t(r.firstImage)});
    setSecondaryOffset(r.offset);
    MTL::Region clip = clipRect();
    clip.origin.z = r.firstSourceImage;
    clip.size.depth = r.images;
    setClipRect(clip);
    setSecondaryEdgeMode(r.edgeMode);
    setKernelOffsetX(0);
    setKernelOffsetY(0);
    setSecondarySourceFeatureChannelOffset(r.sourceChannelOffset);
    setSecondarySourceFeatureChannelMaxCount(r.sourceChannels);
    setPrimarySourceFeatureChannelOffset(r.destinationChannelOffset);
}

void CNNGradientKernel::takePixelwiseRecord(const mps::ForwardRecord& r) {
    CNNGradientKernel::takeForwardRecord(r);
    const mps::PointwiseOrigin origin(r, clipRect());
    MTL::Region clip = origin.clip;
    if (r.isPixelByPixel())
        clip.size.width = clip.size.height = UINT64_MAX; // of images of any size
    setClipRect(clip);
    setSecondaryOffset({int64_t(origin.clip.origin.x), int64_t(origin.clip.origin.y), r.offset.z});
    setPrimaryOffset({r.clip.x + origin.skipped.x, r.clip.y + origin.skipped.y, primaryOffset().z});
}

void CNNGradientKernel::customizeDestination(const ImageBatch& sources, const StateBatch& states,
                                             ImageDescriptor& d) {
    // The result has the forward source's size, whatever the padding policy says.
    d.setWidth(sources[1].width());
    d.setHeight(sources[1].height());
    setPrimaryOffset({});
    for (const State& state : states) {
        const auto* record = recordOf(state);
        if (!record) continue;
        takeForwardRecord(*record);
        d.setWidth(record->sourceWidth);
        d.setHeight(record->sourceHeight);
        d.setNumberOfImages(record->sourceNumberOfImages);
        const uint64_t b =
            mps::channelsInUse(sources[1], secondary().channelOffset, secondary().channelMaxCount);
        const uint64_t a =
            mps::channelsInUse(sources[0], primary().channelOffset, primary().channelMaxCount);
        d.setFeatureChannels(destinationFeatureChannelOffset() + outputChannels(a, b));
    }
}

void CNNGradientKernel::validate(const mps::BinaryPass& pass) const {
    checkForwardClass(pass.sourceStates);
}

void CNNGradientKernel::checkForwardClass(const StateBatch& states) const {
    const std::string forward = forwardClassName();
    for (const State& state : states) {
        const auto* record = recordOf(state);
        if (!record && !state.as<NNBinaryGradientState>())
            throw InvalidArgument(subject() +
                                  "gradientState is no gradient state of a forward kernel.");
        if (record && !forward.empty() && record->className != forward)
            throw InvalidArgument(subject() + "gradientState was made by a " + record->className +
                                  " but this kernel takes those of a " + forward + ".");
    }
}

Image CNNGradientKernel::encode(const MTL::CommandBuffer& commandBuffer, const Image& gradient,
                                const Image& source, const State& state) {
    mps::checkSources(subject(), "sourceGradient", {gradient}, commandBuffer, false);
    mps::checkSources(subject(), "sourceImage", {source}, commandBuffer, false);
    mps::checkStates(subject(), "gradientState", {state}, 1, commandBuffer);
    return encodeNew(commandBuffer, {gradient}, {source}, {state}, false)[0];
}

void CNNGradientKernel::encode(const MTL::CommandBuffer& commandBuffer, const Image& gradient,
                               const Image& source, const State& state, const Image& destination) {
    run(commandBuffer, {gradient}, {source}, {state}, {}, {destination}, false);
}

ImageBatch CNNGradientKernel::encodeBatch(const MTL::CommandBuffer& commandBuffer,
                                          const ImageBatch& gradients, const ImageBatch& sources,
                                          const StateBatch& states) {
    mps::checkSources(subject(), "sourceGradients", gradients, commandBuffer, true);
    mps::checkSources(subject(), "sourceImages", sources, commandBuffer, true);
    mps::checkStates(subject(), "gradientStates", states, gradients.size(), commandBuffer);
    return encodeNew(commandBuffer, gradients, sources, states, true);
}

ImageBatch CNNGradientKernel::encodeNew(const MTL::CommandBuffer& commandBuffer,
                                        const ImageBatch& gradients, const ImageBatch& sources,
                                        const StateBatch& states, bool isBatch) {
    checkForwardClass(states);
    const auto encode = [&] {
        const ImageBatch destinations =
            allocateDestinations(commandBuffer, gradients, sources, states);
        run(commandBuffer, gradients, sources, states, {}, destinations, isBatch, true);
        return destinations;
    };
    return mps::orUndo(encode, primary(), secondary(), clip(), kernelOffsetX_, kernelOffsetY_);
}

void CNNGradientKernel::encodeBatch(const MTL::CommandBuffer& commandBuffer,
                                    const ImageBatch& gradients, const ImageBatch& sources,
                                    const StateBatch& states, const ImageBatch& destinations) {
    run(commandBuffer, gradients, sources, states, {}, destinations, true);
}

} // namespace mpsvk::MPS
