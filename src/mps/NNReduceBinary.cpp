#include "NNReduce.h"

#include "mps/Archive.hpp"
#include "mps/NNReduce.hpp"
#include "mps/PassChecks.hpp"

#include <mpsvk/Error.hpp>
#include <mpsvk/MPS/NNReduce.hpp>

#include <bit>

namespace mpsvk::mps {
/// A name that public headers may use.
struct ReduceBinaryParameters : glsl::NNReduceBinaryParameters {};
} // namespace mpsvk::mps

namespace mpsvk::MPS {

namespace {

/// Pixels that a rectangle's side gives when every stride-th is taken; no end with a stride of 0.
uint64_t steps(uint64_t length, uint64_t stride) {
    return stride == 0 ? UINT64_MAX : vk::divideUp(length, stride);
}

mps::Clip steps(const mps::Clip& clip, const KernelWindow& w) {
    return {0, 0, steps(clip.width, w.strideX), steps(clip.height, w.strideY)};
}

} // namespace

void NNReduceBinary::archive(mps::Archive& archive) {
    CNNBinaryKernel::archive(archive);
    archive("primarySourceClipRect", primaryClip_);
    archive("secondarySourceClipRect", secondaryClip_);
}

mps::Clip NNReduceBinary::sourceClip(const Image& image, bool isPrimary) const {
    return isPrimary
               ? mps::checkedClip(subject(), "primarySourceClipRect", primaryClip_, image)
               : mps::checkedClip(subject(), "secondarySourceClipRect", secondaryClip_, image);
}

ImageRange NNReduceBinary::primaryImages() const { return mps::imageRange(primaryClip_); }
ImageRange NNReduceBinary::secondaryImages() const { return mps::imageRange(secondaryClip_); }

void NNReduceBinary::customizeDestination(const ImageBatch& sources, const StateBatch&,
                                          ImageDescriptor& d) {
    const mps::Clip first = steps(sourceClip(sources[0], true), primary().window),
                    second = steps(sourceClip(sources[1], false), secondary().window);
    const auto size = [](uint64_t a, uint64_t b) {
        return a != UINT64_MAX ? a : b != UINT64_MAX ? b : 1;
    };
    d.setWidth(size(first.width, second.width));
    d.setHeight(size(first.height, second.height));
    d.setNumberOfImages(mps::imagesIn(primaryClip_, sources[0]));
}

void NNReduceBinary::validate(const mps::BinaryPass& pass) const {
    const std::string who = subject();
    if (pass.secondaryChannels < pass.primaryChannels)
        throw InvalidArgument(
            who + "secondaryImage offers " + std::to_string(pass.secondaryChannels) +
            " feature channels but primaryImage " + std::to_string(pass.primaryChannels) + ".");
    mps::checkResultHolds(who, pass.clip,
                          steps(sourceClip(pass.primaries[0], true), primary().window));
    const mps::Clip second = sourceClip(pass.secondaries[0], false);
    if (!readsAround()) mps::checkResultHolds(who, pass.clip, steps(second, secondary().window));
}

mps::ReduceBinaryParameters NNReduceBinary::parameters(const mps::BinaryPass& pass) const {
    const mps::Clip a = sourceClip(pass.primaries[0], true),
                    b = sourceClip(pass.secondaries[0], false);
    return {{
        .primary = pass.primaryView,
        .secondary =
            pass.secondary.view(secondarySourceFeatureChannelOffset(), pass.primaryChannels),
        .destination = pass.destinationView,
        .clipX = int(pass.clip.x),
        .clipY = int(pass.clip.y),
        .clipWidth = uint32_t(pass.clip.width),
        .clipHeight = uint32_t(pass.clip.height),
        .primaryX = int(a.x),
        .primaryY = int(a.y),
        .primaryStrideX = int(primaryStrideInPixelsX()),
        .primaryStrideY = int(primaryStrideInPixelsY()),
        .secondaryX = int(b.x),
        .secondaryY = int(b.y),
        .secondaryStrideX = int(secondaryStrideInPixelsX()),
        .secondaryStrideY = int(secondaryStrideInPixelsY()),
        .images = uint32_t(pass.imageCount),
        .parts = uint32_t(std::min<uint64_t>(glsl::reduceGroupSize,
                                             std::bit_floor(mps::slicesFor(pass.primaryChannels)))),
        .divisor = 1,
    }};
}

void NNReduceBinary::dispatchWeighted(const mps::BinaryPass& pass, float divisor,
                                      bool overNonZeroWeights) const {
    auto p = parameters(pass);
    p.divisor = divisor;
    pass.encoder->dispatch(
        "NNReduceFeatureChannelsAndWeights", p,
        mps::Grid::of(pass.clip.width * pass.clip.height * pass.imageCount * p.parts),
        {{1, pass.primary}, {2, pass.secondary}, {3, pass.destination}},
        {mps::constant(32, uint32_t(overNonZeroWeights))});
}

void NNReduceFeatureChannelsAndWeightsSum::archive(mps::Archive& archive) {
    NNReduceBinary::archive(archive);
    archive("doWeightedSumByNonZeroWeights", byNonZeroWeights_);
}

void NNReduceFeatureChannelsAndWeightsSum::dispatch(const mps::BinaryPass& pass) const {
    dispatchWeighted(pass, 1, byNonZeroWeights_);
}

void NNReduceFeatureChannelsAndWeightsMean::dispatch(const mps::BinaryPass& pass) const {
    dispatchWeighted(pass, float(pass.primaryChannels), false);
}

NNLocalCorrelation::NNLocalCorrelation(const MTL::Device& device, uint64_t windowInX,
                                       uint64_t windowInY, uint64_t strideInX, uint64_t strideInY)
    : NNReduceBinary(device, "NNLocalCorrelation"), windowInX_(windowInX), windowInY_(windowInY),
      strideInX_(strideInX), strideInY_(strideInY) {
    checkStrides();
}

void NNLocalCorrelation::archive(mps::Archive& archive) {
    NNReduceBinary::archive(archive);
    archive("windowInX", windowInX_);
    archive("windowInY", windowInY_);
    archive("strideInX", strideInX_);
    archive("strideInY", strideInY_);
    if (archive.isReading()) checkStrides();
}

void NNLocalCorrelation::checkStrides() const {
    if (strideInX_ == 0 || strideInY_ == 0)
        throw InvalidArgument(subject() + "The stride is " + mps::sizeText(strideInX_, strideInY_) +
                              " but each must be at least 1.");
}

uint64_t NNLocalCorrelation::outputChannels(uint64_t, uint64_t) const {
    return (2 * windowInX_ + 1) * (2 * windowInY_ + 1);
}

void NNLocalCorrelation::validate(const mps::BinaryPass& pass) const {
    NNReduceBinary::validate(pass);
    checkStrides();
    const double most = 1 << 30;
    const auto reach = [](uint64_t window, uint64_t stride, uint64_t size, uint64_t pixelStride) {
        return double(window) * double(stride) + double(size) * double(pixelStride);
    };
    const Image& other = pass.secondaries[0];
    if (reach(windowInX_, strideInX_, pass.clip.width, secondaryStrideInPixelsX()) +
                double(other.width()) >
            most ||
        reach(windowInY_, strideInY_, pass.clip.height, secondaryStrideInPixelsY()) +
                double(other.height()) >
            most)
        throw InvalidArgument(subject() + "The windows " + mps::sizeText(windowInX_, windowInY_) +
                              " with the stride " + mps::sizeText(strideInX_, strideInY_) +
                              " reach further than 2^30 pixels.");
}

void NNLocalCorrelation::dispatch(const mps::BinaryPass& pass) const {
    auto p = parameters(pass);
    p.windowX = int(windowInX_);
    p.windowY = int(windowInY_);
    p.strideX = int(strideInX_);
    p.strideY = int(strideInY_);
    p.clampEdges = secondaryEdgeMode() == ImageEdgeMode::Clamp;
    pass.encoder->dispatch("NNLocalCorrelation", p, pass.clipGrid(),
                           {{1, pass.primary}, {2, pass.secondary}, {3, pass.destination}});
}

} // namespace mpsvk::MPS
