#include "mps/CNNPooling.hpp"

#include "geometry.h"
#include "mps/Archive.hpp"
#include "mps/PassChecks.hpp"

#include <mpsvk/Error.hpp>
#include <mpsvk/MPS/CNNPooling.hpp>

#include <algorithm>

namespace mpsvk::mps {

using MPS::ImageEdgeMode;

uint32_t PoolingEdges::shaderValue(const MPS::KernelWindow& w) const {
    if (mode == ImageEdgeMode::Zero) return glsl::poolingEdgesZero;
    return average || w.dilationX > 1 || w.dilationY > 1 ? glsl::poolingEdgesLeave
                                                         : glsl::poolingEdgesClamp;
}

} // namespace mpsvk::mps

namespace mpsvk::MPS {

namespace {

// A selection is a byte, and 255 says that there is none.
bool fitsByte(uint64_t kernelWidth, uint64_t kernelHeight) {
    return kernelWidth <= 255 && kernelHeight <= 255 && kernelWidth * kernelHeight <= 255;
}

uint64_t selectionBytes(const mps::ForwardRecord& record) {
    return vk::Memory::taken(record.clip.width * record.clip.height *
                             vk::roundUp(record.sourceChannels, 4));
}

} // namespace

mps::PoolingEdges CNNPooling::edges() const { return {edgeMode()}; }

mps::PoolingEdges CNNPoolingAverage::edges() const {
    mps::PoolingEdges edges{edgeMode(), true, zeroPadSizeX_, zeroPadSizeY_};
    if (uint64_t(padding()->paddingMethod() & NNPaddingMethod::ExcludeEdges)) {
        const auto before = [](uint64_t taps, int64_t offset) {
            return uint64_t(std::max<int64_t>(0, int64_t(taps / 2) - offset));
        };
        edges.mode = ImageEdgeMode::Clamp;
        edges.padX = std::max(edges.padX, before(kernelWidth(), offset().x));
        edges.padY = std::max(edges.padY, before(kernelHeight(), offset().y));
    }
    return edges;
}

void CNNPoolingAverage::archive(mps::Archive& archive) {
    CNNPooling::archive(archive);
    archive("zeroPadSizeX", zeroPadSizeX_);
    archive("zeroPadSizeY", zeroPadSizeY_);
}

bool CNNPoolingMax::savesSelection() const { return fitsByte(kernelWidth(), kernelHeight()); }
bool CNNDilatedPoolingMax::savesSelection() const {
    return fitsByte(kernelWidth(), kernelHeight());
}

StateBatch CNNPooling::makeResultStates(const mps::StateRequest& request) const {
    const mps::PoolingEdges e = edges();
    StateBatch made;
    for (size_t i = 0; i < request.count(); ++i) {
        auto state = std::make_shared<mps::PoolingState>(request.device, request.record);
        state->record.edgeMode = e.mode;
        state->padX = e.padX;
        state->padY = e.padY;
        state->saved = request.isReturned && savesSelection();
        if (request.count() == 1)
            state->images = mps::imagesOf(subject(), clipRect(), sourceImages(), request.sources[0],
                                          request.destinations[0]);
        made.push_back(NNGradientState(std::move(state)));
    }
    const auto& first = static_cast<const mps::PoolingState&>(made[0].impl());
    if (first.saved)
        addBatchBuffer(made, first.images * selectionBytes(request.record),
                       MTL::ResourceOptions::StorageModePrivate, request.temporary);
    return made;
}

void CNNPooling::validate(const mps::UnaryPass& pass) const {
    mps::checkWindowReach(subject(), pass.offset, pass.window, pass.clip.width, pass.clip.height);
    for (const State& state : pass.states) {
        const auto* own = dynamic_cast<const mps::PoolingState*>(&state.impl());
        if (!own || own->record.className != className())
            throw InvalidArgument(subject() + "The destination state is none of a " + className() +
                                  ".");
        const mps::ForwardRecord& r = own->record;
        const uint64_t images = pass.sources.size() > 1 ? 1 : pass.imageCount;
        if (r.clip.width != pass.clip.width || r.clip.height != pass.clip.height ||
            r.sourceChannels != pass.sourceChannels || own->images != images)
            throw InvalidArgument(
                subject() + "The destination state was made for " + std::to_string(own->images) +
                " results of " + mps::sizeText(r.clip.width, r.clip.height) + " with " +
                std::to_string(r.sourceChannels) + " feature channels but this encode writes " +
                std::to_string(images) + " of " + mps::sizeText(pass.clip.width, pass.clip.height) +
                " with " + std::to_string(pass.sourceChannels) + ".");
    }
}

void CNNPooling::dispatch(const mps::UnaryPass& pass) const {
    const mps::PoolingEdges e = edges();
    const KernelWindow& w = pass.window;
    const auto limited = [](uint64_t pad) { return int(std::min<uint64_t>(pad, 1 << 30)); };
    const bool saves = pass.returnsStates && !pass.stateBuffers.empty();
    for (size_t i = 0; i < pass.states.size(); ++i) {
        auto& state = static_cast<mps::PoolingState&>(pass.states[i].impl());
        if (saves)
            state.saveSelectionsOf(mps::imageOf(pass.sources, pass.firstImage + i),
                                   pass.encoder->commandBuffer());
        else
            state.forgetSelections();
    }
    const glsl::CNNPoolingParameters parameters{
        .source = pass.sourceView,
        .destination = pass.destinationView,
        .clipX = int(pass.clip.x),
        .clipY = int(pass.clip.y),
        .clipWidth = uint32_t(pass.clip.width),
        .startX = glsl::windowStart(int(pass.offset.x),
                                    glsl::dilatedExtent(int(w.width), int(w.dilationX))),
        .startY = glsl::windowStart(int(pass.offset.y),
                                    glsl::dilatedExtent(int(w.height), int(w.dilationY))),
        .strideX = int(w.strideX),
        .strideY = int(w.strideY),
        .kernelWidth = int(w.width),
        .kernelHeight = int(w.height),
        .dilationX = int(w.dilationX),
        .dilationY = int(w.dilationY),
        .padX = limited(e.padX),
        .padY = limited(e.padY),
        .edges = e.shaderValue(w),
        .selectionStride = saves ? uint32_t(pass.stateBuffers[0].strideBytes / 4) : 0,
    };
    pass.encoder->dispatch(shader(), parameters, pass.clipGrid(),
                           {{1, pass.source},
                            {2, pass.destination},
                            {3, saves ? pass.stateBuffers[0].all : vk::BufferSlice{}}},
                           {mps::constant(32, uint32_t(saves))});
}

} // namespace mpsvk::MPS
