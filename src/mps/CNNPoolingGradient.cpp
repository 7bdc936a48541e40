#include "geometry.h"
#include "mps/Archive.hpp"
#include "mps/CNNNeuron.hpp"
#include "mps/CNNPooling.hpp"
#include "mps/PassChecks.hpp"

#include <mpsvk/Error.hpp>
#include <mpsvk/MPS/CNNPooling.hpp>

#include <algorithm>

namespace mpsvk::MPS {

namespace {

const mps::PoolingState* poolingState(const State& state) {
    return dynamic_cast<const mps::PoolingState*>(state.shared().get());
}

uint64_t extentOf(uint64_t taps, uint64_t dilation) { return (taps - 1) * dilation + 1; }

int64_t firstPixel(int64_t offset, uint64_t taps, uint64_t dilation, uint64_t size) {
    return std::clamp<int64_t>(offset - int64_t(extentOf(taps, dilation) / 2), 0,
                               int64_t(size) - 1);
}

/// Pairs of pixels along one axis that begin where a window with the stride 2 does.
uint64_t blocks(int origin, int start, uint64_t length) {
    return (uint64_t(glsl::floorModulo(origin - start, 2)) + length + 1) / 2;
}

/// Gradient pixels along one axis: window 0 at `offset`, windows first ... end-1 inside the image.
struct WindowRange {
    WindowRange(int64_t offset, uint64_t wanted, uint64_t size)
        : first(std::max<int64_t>(0, -offset)),
          end(int64_t(
              std::min<uint64_t>(wanted, uint64_t(std::max<int64_t>(0, int64_t(size) - offset))))) {
    }
    int64_t first, end;
};

} // namespace

mps::PoolingEdges CNNPoolingGradient::edges() const { return {secondaryEdgeMode()}; }

mps::PoolingEdges CNNPoolingAverageGradient::edges() const {
    return {secondaryEdgeMode(), true, zeroPadSizeX_, zeroPadSizeY_};
}

void CNNPoolingGradient::archive(mps::Archive& archive) {
    CNNGradientKernel::archive(archive);
    archive("sourceSize", sourceSize_);
}

void CNNPoolingAverageGradient::archive(mps::Archive& archive) {
    CNNPoolingGradient::archive(archive);
    archive("zeroPadSizeX", zeroPadSizeX_);
    archive("zeroPadSizeY", zeroPadSizeY_);
}

void CNNPoolingAverageGradient::setZeroPad(uint64_t x, uint64_t y) {
    zeroPadSizeX_ = x;
    zeroPadSizeY_ = y;
}

void CNNPoolingGradient::takeForwardRecord(const mps::ForwardRecord& r) {
    CNNGradientKernel::takeForwardRecord(r);
    setPrimaryOffset({r.clip.x, r.clip.y, primaryOffset().z});
    sourceSize_ = {r.clip.width, r.clip.height, UINT64_MAX};
    setPrimaryStrideInPixelsX(r.window.strideX);
    setPrimaryStrideInPixelsY(r.window.strideY);
    const auto x =
        uint64_t(firstPixel(r.offset.x, r.window.width, r.window.dilationX, r.sourceWidth));
    const auto y =
        uint64_t(firstPixel(r.offset.y, r.window.height, r.window.dilationY, r.sourceHeight));
    MTL::Region clip = clipRect();
    clip.origin.x = x;
    clip.origin.y = y;
    clip.size.width = r.sourceWidth - x;
    clip.size.height = r.sourceHeight - y;
    setClipRect(clip);
}

void CNNPoolingGradient::customizeDestination(const ImageBatch& sources, const StateBatch& states,
                                              ImageDescriptor& d) {
    for (const State& state : states) {
        const auto* own = poolingState(state);
        if (!own) continue;
        mps::checkForwardSizes(subject(), "pooled", own->record, sources[0], sources[1]);
        setZeroPad(own->padX, own->padY);
    }
    CNNGradientKernel::customizeDestination(sources, states, d);
}

void CNNPoolingGradient::validate(const mps::BinaryPass& pass) const {
    CNNGradientKernel::validate(pass);
    const std::string who = subject();
    const KernelWindow& w = primary().window;
    mps::checkWindow(className().c_str(), w);
    const WindowRange x(primaryOffset().x, sourceSize_.width, pass.primaries[0].width());
    const WindowRange y(primaryOffset().y, sourceSize_.height, pass.primaries[0].height());
    mps::checkWindowReach(who, secondaryOffset(), w, uint64_t(std::max<int64_t>(0, x.end)),
                          uint64_t(std::max<int64_t>(0, y.end)));
    mps::checkGradientChannels(who, pass);
    if (neuron_) mps::checkSlopes(who, neuron_->descriptor, pass.secondaryChannels);
    for (const State& state : pass.sourceStates) {
        const auto* own = poolingState(state);
        if (own) mps::checkForwardWindow(who, own->record.window, w);
    }
}

void CNNPoolingGradient::dispatch(const mps::BinaryPass& pass) const {
    const KernelWindow& w = primary().window;
    const mps::PoolingEdges e = edges();
    const auto limited = [](uint64_t pad) { return int(std::min<uint64_t>(pad, 1 << 30)); };
    const Image& source = pass.secondaries[0];
    const WindowRange x(primaryOffset().x, sourceSize_.width, pass.primaries[0].width());
    const WindowRange y(primaryOffset().y, sourceSize_.height, pass.primaries[0].height());
    // The kept selections are those of this pass if they are of its source and it is configured as
    // the forward one was.
    const auto matches = [&](const State& given, const Image& forwardSource) {
        const auto* state = poolingState(given);
        if (!state || state->images != (pass.primaries.size() > 1 ? 1 : pass.batchCount) ||
            !state->hasSelectionsOf(forwardSource, pass.encoder->commandBuffer()))
            return false;
        const mps::ForwardRecord& r = state->record;
        return r.offset == secondaryOffset() && r.edgeMode == secondaryEdgeMode() &&
               r.window.strideX == w.strideX && r.window.strideY == w.strideY &&
               x.end <= int64_t(r.clip.width) && y.end <= int64_t(r.clip.height) &&
               r.sourceWidth == source.width() && r.sourceHeight == source.height() &&
               r.sourceChannelOffset == secondary().channelOffset &&
               r.sourceChannels == pass.secondaryChannels &&
               r.destinationChannelOffset == primary().channelOffset;
    };
    bool saved = !pass.stateBuffers.empty();
    for (size_t i = 0; i < pass.sourceStates.size() && saved; ++i)
        saved = matches(pass.sourceStates[i], mps::imageOf(pass.secondaries, pass.firstImage + i));
    const uint64_t selectionWidth =
        saved ? poolingState(pass.sourceStates[0])->record.clip.width : 0;
    const mps::FusedNeuron neuron = neuron_ ? *neuron_ : mps::FusedNeuron{};
    const glsl::CNNPoolingGradientParameters parameters{
        .gradient = pass.primaryView,
        .source = pass.secondaryView,
        .destination = pass.destinationView,
        .clipX = int(pass.clip.x),
        .clipY = int(pass.clip.y),
        .clipWidth = uint32_t(pass.clip.width),
        .clipHeight = uint32_t(pass.clip.height),
        .originX = int(firstPixel(secondaryOffset().x, w.width, w.dilationX, source.width())),
        .originY = int(firstPixel(secondaryOffset().y, w.height, w.dilationY, source.height())),
        .startX = int(secondaryOffset().x) - int(extentOf(w.width, w.dilationX) / 2),
        .startY = int(secondaryOffset().y) - int(extentOf(w.height, w.dilationY) / 2),
        .strideX = int(w.strideX),
        .strideY = int(w.strideY),
        .kernelWidth = int(w.width),
        .kernelHeight = int(w.height),
        .dilationX = int(w.dilationX),
        .dilationY = int(w.dilationY),
        .padX = limited(e.padX),
        .padY = limited(e.padY),
        .gradientX = int(primaryOffset().x),
        .gradientY = int(primaryOffset().y),
        .firstWindowX = int(x.first),
        .firstWindowY = int(y.first),
        .windowsX = int(x.end),
        .windowsY = int(y.end),
        .sourceWidth = int(source.width()),
        .sourceHeight = int(source.height()),
        .edges = e.shaderValue(w),
        .selectionStride = saved ? uint32_t(pass.stateBuffers[0].strideBytes / 4) : 0,
        .selectionWidth = uint32_t(selectionWidth),
        .neuronA = neuron.descriptor.a(),
        .neuronB = neuron.descriptor.b(),
    };
    const auto neuronType = mps::constant(35, uint32_t(neuron.descriptor.neuronType()));
    // Small windows, which become constants of the shader, each of them with a pixel of the source.
    // There must be one, which is read where there are no others.
    constexpr int largest = 8;
    const auto suits = [](uint64_t stride, uint64_t dilation, int taps, int start,
                          const WindowRange& windows, int size) {
        return stride == 2 && dilation == 1 && taps <= largest && start + taps > 0 &&
               windows.first < windows.end && start + 2 * (windows.end - 1) < size;
    };
    const auto& p = parameters;
    const bool inBlocks =
        (saved || e.average) &&
        suits(w.strideX, w.dilationX, p.kernelWidth, p.startX, x, p.sourceWidth) &&
        suits(w.strideY, w.dilationY, p.kernelHeight, p.startY, y, p.sourceHeight);
    if (inBlocks) {
        auto grid = mps::Grid::over(mps::slicesFor(pass.destinationChannels),
                                    blocks(parameters.originX, parameters.startX, pass.clip.width),
                                    blocks(parameters.originY, parameters.startY, pass.clip.height),
                                    pass.imageCount, pass.texelsEach());
        grid.wholeTexels = pass.hasWholeTexels();
        return pass.encoder->dispatch(e.average ? "CNNPoolingAverageGradientBlocks"
                                                : "CNNPoolingMaxGradientBlocks",
                                      parameters, grid,
                                      {{1, pass.primary},
                                       {2, neuron_ ? pass.secondary : mps::ImageRun{}},
                                       {3, pass.destination},
                                       {4, saved ? pass.stateBuffers[0].all : vk::BufferSlice{}},
                                       {5, mps::sliceOf(neuron.slopes)}},
                                      {mps::constant(33, uint32_t(w.width)),
                                       mps::constant(34, uint32_t(w.height)), neuronType});
    }
    pass.encoder->dispatch(shader(), parameters, pass.clipGrid(),
                           {{1, pass.primary},
                            {2, pass.secondary},
                            {3, pass.destination},
                            {4, saved ? pass.stateBuffers[0].all : vk::BufferSlice{}},
                            {5, mps::sliceOf(neuron.slopes)}},
                           {mps::constant(32, uint32_t(saved)), neuronType});
}

} // namespace mpsvk::MPS
