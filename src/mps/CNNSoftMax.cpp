#include "CNNSoftMax.h"
#include "mps/Pass.hpp"
#include "mps/PassChecks.hpp"

#include <mpsvk/Error.hpp>
#include <mpsvk/MPS/CNNSoftMax.hpp>

#include <algorithm>

namespace mpsvk::MPS {

namespace {

// Of glsl/softmax.glsl: invocations of a pixel, and what one keeps in registers.
constexpr uint64_t groupSize = 64, mostKeptSteps = 4;

// From here on a group of invocations per pixel is faster than one. Only the channels decide, so
// that a batch gives the same bits however it is cut.
bool wantsGroups(uint64_t channels) { return channels >= 128; }

template <class Pass> mps::Grid gridOf(const Pass& pass, uint64_t channels) {
    auto grid = mps::Grid::over(1, pass.clip.width, pass.clip.height, pass.imageCount);
    if (wantsGroups(channels)) grid.x *= groupSize;
    grid.texelsEach = pass.texelsEach();
    grid.wholeTexels = pass.hasWholeTexels();
    return grid;
}

vk::Constant keptSteps(uint64_t channels, uint32_t texelsEach) {
    const uint64_t atOnce = (wantsGroups(channels) ? groupSize : 1) * texelsEach;
    return mps::constant(
        33, uint32_t(std::min(mostKeptSteps, vk::divideUp(mps::slicesFor(channels), atOnce))));
}

void softMax(const mps::UnaryPass& pass, bool logarithm) {
    const glsl::CNNSoftMaxParameters parameters{
        .source = pass.sourceView,
        .destination = pass.destinationView,
        .clipX = int(pass.clip.x),
        .clipY = int(pass.clip.y),
        .offsetX = int(pass.offset.x),
        .offsetY = int(pass.offset.y),
        .clampEdges = pass.edgeMode == ImageEdgeMode::Clamp,
    };
    pass.encoder->dispatch(wantsGroups(pass.sourceChannels) ? "CNNSoftMaxGroup" : "CNNSoftMax",
                           parameters, gridOf(pass, pass.sourceChannels),
                           {{1, pass.source}, {2, pass.destination}},
                           {mps::constant(32, uint32_t(logarithm)),
                            keptSteps(pass.sourceChannels, pass.texelsEach())});
}

void softMaxGradient(const mps::BinaryPass& pass, const Offset& gradient, const Offset& result,
                     bool logarithm) {
    const glsl::CNNSoftMaxGradientParameters parameters{
        .gradient = pass.primaryView,
        .result = pass.secondaryView,
        .destination = pass.destinationView,
        .clipX = int(pass.clip.x),
        .clipY = int(pass.clip.y),
        .gradientOffsetX = int(gradient.x),
        .gradientOffsetY = int(gradient.y),
        .resultOffsetX = int(result.x),
        .resultOffsetY = int(result.y),
    };
    pass.encoder->dispatch(wantsGroups(pass.secondaryChannels) ? "CNNSoftMaxGradientGroup"
                                                               : "CNNSoftMaxGradient",
                           parameters, gridOf(pass, pass.secondaryChannels),
                           {{1, pass.primary}, {2, pass.secondary}, {3, pass.destination}},
                           {mps::constant(32, uint32_t(logarithm)),
                            keptSteps(pass.secondaryChannels, pass.texelsEach())});
}

/// Both sources are images of the forward result's size: result pixel clip.origin + q belongs to
/// pixel offset + q of the forward source, where the gradient's result goes.
void takeResultRecord(CNNGradientKernel& kernel, const mps::ForwardRecord& r) {
    const mps::PointwiseOrigin origin(r, kernel.clipRect());
    const Offset result{r.clip.x + origin.skipped.x, r.clip.y + origin.skipped.y,
                        kernel.primaryOffset().z};
    kernel.setClipRect(origin.clip);
    kernel.setPrimaryOffset(result);
    kernel.setSecondaryOffset(result);
    kernel.setPrimarySourceFeatureChannelOffset(r.destinationChannelOffset);
    kernel.setSecondarySourceFeatureChannelOffset(r.destinationChannelOffset);
    kernel.setSecondarySourceFeatureChannelMaxCount(r.sourceChannels);
}

} // namespace

void CNNSoftMax::dispatch(const mps::UnaryPass& pass) const { softMax(pass, false); }
StateBatch CNNSoftMax::makeResultStates(const mps::StateRequest& request) const {
    return mps::plainGradientStates(request);
}

void CNNLogSoftMax::dispatch(const mps::UnaryPass& pass) const { softMax(pass, true); }
StateBatch CNNLogSoftMax::makeResultStates(const mps::StateRequest& request) const {
    return mps::plainGradientStates(request);
}

void CNNSoftMaxGradient::takeForwardRecord(const mps::ForwardRecord& record) {
    CNNGradientKernel::takeForwardRecord(record);
    takeResultRecord(*this, record);
}
void CNNSoftMaxGradient::validate(const mps::BinaryPass& pass) const {
    CNNGradientKernel::validate(pass);
    mps::checkGradientChannels(subject(), pass);
}
void CNNSoftMaxGradient::dispatch(const mps::BinaryPass& pass) const {
    softMaxGradient(pass, primaryOffset(), secondaryOffset(), false);
}

void CNNLogSoftMaxGradient::takeForwardRecord(const mps::ForwardRecord& record) {
    CNNGradientKernel::takeForwardRecord(record);
    takeResultRecord(*this, record);
}
void CNNLogSoftMaxGradient::validate(const mps::BinaryPass& pass) const {
    CNNGradientKernel::validate(pass);
    mps::checkGradientChannels(subject(), pass);
}
void CNNLogSoftMaxGradient::dispatch(const mps::BinaryPass& pass) const {
    softMaxGradient(pass, primaryOffset(), secondaryOffset(), true);
}

} // namespace mpsvk::MPS
