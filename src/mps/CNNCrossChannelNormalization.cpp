#include "CNNNormalization.h"
#include "mps/Archive.hpp"
#include "mps/CNNNormalization.hpp"
#include "mps/PassChecks.hpp"

#include <mpsvk/Error.hpp>

#include <algorithm>

namespace mpsvk::MPS {

namespace {

using Parameters = glsl::CNNCrossChannelNormalizationParameters;

constexpr uint64_t groupSize = 256; // of glsl/crossChannel.glsl

// The slices that a window reaches.
uint64_t haloOf(int before) { return (uint64_t(before) + 3) / 4; }
bool fitsGroup(int before) { return haloOf(before) <= groupSize / 4; }

/// Whether the images are whole and have each texel at the same place.
bool areAlike(const mps::BinaryPass& pass, const Parameters& p) {
    const auto isWhole = [&](const mps::ImageRun& run, const glsl::ImageView& view) {
        return !run.isTexture() && run.isDense() && view.width == p.clipWidth &&
               view.height == p.clipHeight && view.channelOffset == 0 &&
               view.channels == run.featureChannels() &&
               (pass.imageCount == 1 ||
                view.imageStride == view.width * view.height * view.slices) &&
               view.channels == p.source.channels;
    };
    return p.clipX == 0 && p.clipY == 0 && p.originX == 0 && p.originY == 0 && p.startX == 0 &&
           p.startY == 0 && p.gradientX == 0 && p.gradientY == 0 && p.resultsX == p.clipWidth &&
           p.resultsY == p.clipHeight && isWhole(pass.secondary, p.source) &&
           isWhole(pass.primary, p.gradient) && isWhole(pass.destination, p.destination);
}

void checkKernelSize(const char* className, uint64_t kernelSize) {
    if (kernelSize == 0)
        throw InvalidArgument(std::string("[") + className +
                              "] kernelSize is 0 but must be at least 1.");
}

/// The specialization constants of glsl/crossChannel.glsl.
struct Window {
    Window(const mps::LocalNormalizationValues& v, uint64_t kernelSize, uint64_t channels)
        : before(uint32_t(std::min(kernelSize / 2, channels))),
          after(uint32_t(std::min((kernelSize - 1) / 2, channels))), beta(v.beta) {}
    uint32_t before, after;
    mps::SplitBeta beta;
};

Parameters parametersOf(const mps::LocalNormalizationValues& v, uint64_t kernelSize,
                        const mps::SplitBeta& beta, const mps::Clip& clip, uint64_t images,
                        ImageEdgeMode edgeMode) {
    Parameters p{};
    p.clipX = int(clip.x);
    p.clipY = int(clip.y);
    p.clipWidth = uint32_t(clip.width);
    p.clipHeight = uint32_t(clip.height);
    p.clampEdges = edgeMode == ImageEdgeMode::Clamp;
    p.images = uint32_t(images);
    p.alpha = float(double(v.alpha) / double(kernelSize));
    p.delta = v.delta;
    p.betaRest = beta.rest;
    p.slope = float(2.0 * v.alpha * v.beta / double(kernelSize));
    return p;
}

} // namespace

CNNCrossChannelNormalization::CNNCrossChannelNormalization(const MTL::Device& device,
                                                           uint64_t kernelSize)
    : CNNKernel(device, "CNNCrossChannelNormalization"), kernelSize_(kernelSize) {
    checkKernelSize("CNNCrossChannelNormalization", kernelSize);
}

void CNNCrossChannelNormalization::archive(mps::Archive& archive) {
    CNNKernel::archive(archive);
    archiveProperties(archive);
    archive("kernelSize", kernelSize_);
    checkKernelSize("CNNCrossChannelNormalization", kernelSize_);
}

StateBatch CNNCrossChannelNormalization::makeResultStates(const mps::StateRequest& request) const {
    return mps::localNormalizationStates(request, values_, kernelSize_);
}

void CNNCrossChannelNormalization::validate(const mps::UnaryPass& pass) const {
    mps::checkAlpha(subject(), alpha());
    mps::checkWindowReach(subject(), pass.offset, pass.window, pass.clip.width, pass.clip.height);
    mps::checkResultSizes(subject(), pass);
}

void CNNCrossChannelNormalization::dispatch(const mps::UnaryPass& pass) const {
    const Window window(values_, kernelSize_, pass.sourceChannels);
    Parameters p =
        parametersOf(values_, kernelSize_, window.beta, pass.clip, pass.imageCount, pass.edgeMode);
    p.source = pass.sourceView;
    p.destination = pass.destinationView;
    p.startX = int(pass.offset.x);
    p.startY = int(pass.offset.y);
    p.resultsX = p.clipWidth;
    p.resultsY = p.clipHeight;
    pass.encoder->dispatch("CNNCrossChannelNormalization", p, pass.clipGrid(),
                           {{1, pass.source}, {3, pass.destination}},
                           {mps::constant(34, window.before), mps::constant(35, window.after),
                            mps::constant(36, window.beta.whole),
                            mps::constant(37, window.beta.quarters)});
}

CNNCrossChannelNormalizationGradient::CNNCrossChannelNormalizationGradient(
    const MTL::Device& device, uint64_t kernelSize)
    : LocalNormalizationGradient(device, "CNNCrossChannelNormalizationGradient"),
      kernelSize_(kernelSize) {
    checkKernelSize("CNNCrossChannelNormalizationGradient", kernelSize);
}

void CNNCrossChannelNormalizationGradient::archive(mps::Archive& archive) {
    CNNGradientKernel::archive(archive);
    archiveProperties(archive);
    archive("kernelSize", kernelSize_);
    checkKernelSize("CNNCrossChannelNormalizationGradient", kernelSize_);
}

void CNNCrossChannelNormalizationGradient::validate(const mps::BinaryPass& pass) const {
    LocalNormalizationGradient::validate(pass);
    mps::checkAlpha(subject(), alpha());
    if (!fitsGroup(int(std::min(kernelSize_ / 2, pass.secondaryChannels))))
        mps::checkScratch(subject(), pass.primaries[0].device(),
                          16 * (pass.clipTexels() / pass.batchCount));
    for (const State& state : pass.sourceStates) {
        const auto* own = mps::localNormalizationState(state);
        if (own && own->kernelSize != kernelSize_)
            throw InvalidArgument(subject() + "The gradient state's kernelSize is " +
                                  std::to_string(own->kernelSize) + " but this kernel's is " +
                                  std::to_string(kernelSize_) + ".");
    }
}

void CNNCrossChannelNormalizationGradient::dispatch(const mps::BinaryPass& pass) const {
    const mps::ForwardResults results(pass, primaryOffset(), secondaryOffset());
    const Window window(values_, kernelSize_, pass.secondaryChannels);
    Parameters p = parametersOf(values_, kernelSize_, window.beta, pass.clip, pass.imageCount,
                                secondaryEdgeMode());
    p.source = pass.secondaryView;
    p.gradient = pass.primaryView;
    p.destination = pass.destinationView;
    p.originX = int(secondaryOffset().x);
    p.originY = int(secondaryOffset().y);
    p.startX = int(results.startX);
    p.startY = int(results.startY);
    p.gradientX = int(results.gradientX);
    p.gradientY = int(results.gradientY);
    p.resultsX = uint32_t(results.width);
    p.resultsY = uint32_t(results.height);

    constexpr uint32_t inWorkgroup = 0, saveTerms = 1, sumTerms = 2;
    const auto encode = [&](uint32_t kind, const vk::BufferSlice& terms) {
        mps::Grid grid = pass.pairGrid();
        grid.texels->images = p.images;
        grid.x = grid.x / pass.imageCount * p.images;
        const uint64_t perGroup = groupSize - 2 * p.halo;
        if (kind == inWorkgroup) grid.x = vk::divideUp(grid.x, perGroup) * groupSize;
        pass.encoder->dispatch(
            "CNNCrossChannelNormalizationGradient", p, grid,
            {{1, pass.secondary}, {2, pass.primary}, {3, pass.destination}, {4, terms}},
            {mps::constant(32, kind), mps::constant(33, uint32_t(areAlike(pass, p))),
             mps::constant(34, window.before), mps::constant(35, window.after),
             mps::constant(36, window.beta.whole), mps::constant(37, window.beta.quarters)});
    };
    if (fitsGroup(int(window.before))) {
        p.halo = uint32_t(haloOf(int(window.before)));
        encode(inWorkgroup, {});
        return;
    }
    const uint64_t texels = pass.clipTexels() / pass.imageCount;
    const uint64_t atOnce = mps::imagesAtOnce(pass.encoder->limits(), 16 * texels);
    for (uint64_t first = 0; first < pass.imageCount; first += atOnce) {
        p.images = uint32_t(std::min(atOnce, pass.imageCount - first));
        p.source = mps::imagesFrom(pass.secondaryView, first);
        p.gradient = mps::imagesFrom(pass.primaryView, first);
        p.destination = mps::imagesFrom(pass.destinationView, first);
        const auto terms = pass.encoder->scratch(16 * texels * p.images);
        encode(saveTerms, *terms);
        encode(sumTerms, *terms);
    }
}

} // namespace mpsvk::MPS
