#include "NNResize.h"
#include "mps/Archive.hpp"
#include "mps/NNReduce.hpp"
#include "mps/PassChecks.hpp"

#include <mpsvk/Error.hpp>
#include <mpsvk/MPS/NNGridSample.hpp>

namespace mpsvk::MPS {

namespace {

/// Grid pixels from `offset` on, every stride-th; no end with a stride of 0.
uint64_t gridPixels(uint64_t size, int64_t offset, uint64_t stride) {
    const uint64_t left = uint64_t(offset) >= size ? 0 : size - uint64_t(offset);
    if (stride == 0) return left == 0 ? 0 : UINT64_MAX;
    return vk::divideUp(left, stride);
}

} // namespace

void NNGridSample::archive(mps::Archive& archive) {
    CNNBinaryKernel::archive(archive);
    archive("useGridValueAsInputCoordinate", useGridValueAsInputCoordinate_);
}

void NNGridSample::customizeDestination(const ImageBatch& sources, const StateBatch&,
                                        ImageDescriptor& d) {
    setPrimaryOffset({0, 0, primaryOffset().z});
    setSecondaryOffset({0, 0, secondaryOffset().z});
    const auto size = [](uint64_t length, uint64_t stride) {
        return stride == 0 ? 1 : gridPixels(length, 0, stride);
    };
    d.setWidth(size(sources[1].width(), secondaryStrideInPixelsX()));
    d.setHeight(size(sources[1].height(), secondaryStrideInPixelsY()));
}

void NNGridSample::validate(const mps::BinaryPass& pass) const {
    const std::string who = subject();
    if (pass.secondaryChannels != 2)
        throw InvalidArgument(who + "The grid, secondaryImage, offers " +
                              std::to_string(pass.secondaryChannels) +
                              " feature channels but must offer 2, x and y.");
    const Image& grid = pass.secondaries[0];
    const Offset at = secondaryOffset();
    if (at.x < 0 || at.y < 0)
        throw InvalidArgument(who + "secondaryOffset is (" + std::to_string(at.x) + ", " +
                              std::to_string(at.y) + ") but the grid has no such pixel.");
    mps::checkResultHolds(who, pass.clip,
                          {0, 0, gridPixels(grid.width(), at.x, secondaryStrideInPixelsX()),
                           gridPixels(grid.height(), at.y, secondaryStrideInPixelsY())});
}

void NNGridSample::dispatch(const mps::BinaryPass& pass) const {
    const auto step = [this](uint64_t stride) {
        return useGridValueAsInputCoordinate_ ? 0.f : float(stride);
    };
    const glsl::NNGridSampleParameters parameters{
        .source = pass.primaryView,
        .grid = pass.secondaryView,
        .destination = pass.destinationView,
        .clipX = int(pass.clip.x),
        .clipY = int(pass.clip.y),
        .gridX = int(secondaryOffset().x),
        .gridY = int(secondaryOffset().y),
        .gridStrideX = int(secondaryStrideInPixelsX()),
        .gridStrideY = int(secondaryStrideInPixelsY()),
        .offsetX = float(primaryOffset().x),
        .offsetY = float(primaryOffset().y),
        .stepX = step(primaryStrideInPixelsX()),
        .stepY = step(primaryStrideInPixelsY()),
        .clampEdges = primaryEdgeMode() == ImageEdgeMode::Clamp,
    };
    pass.encoder->dispatch("NNGridSample", parameters, pass.clipGrid(),
                           {{1, pass.primary}, {2, pass.secondary}, {3, pass.destination}});
}

} // namespace mpsvk::MPS
