#include "CNNMath.h"
#include "mps/Archive.hpp"
#include "mps/CNNMath.hpp"
#include "mps/PassChecks.hpp"
#include "mps/Walk.hpp"

#include <mpsvk/Error.hpp>

#include <algorithm>
#include <bit>

namespace mpsvk::MPS {

namespace {

constexpr uint64_t threads = 128; // the workgroup of glsl/CNNArithmeticGradient.comp
constexpr uint64_t placesPerThread = 8, enoughThreads = 16384, mostParts = 64;

using StateImpl = CNNArithmeticGradientState::Impl;

const StateImpl* implOf(const StateBatch& states) {
    return states.empty() ? nullptr : dynamic_cast<const StateImpl*>(states[0].shared().get());
}

bool hasImages(const mps::BinaryPass& pass) {
    return !pass.primaries.empty() && !pass.destinations.empty();
}

} // namespace

/// Which part of the gradient image belongs to the forward result, and what is summed over.
struct CNNArithmeticGradient::Geometry {
    mps::Clip window;
    bool sumsX = false, sumsY = false, sumsChannels = false;
    bool clampsX = false, clampsY = false;
    int64_t sumX = 0, sumY = 0;                   ///< of the clip rectangle
    uint64_t channels = 0;                        ///< written
    uint64_t operandWidth = 1, operandHeight = 1; ///< of the forward operand, if it clamps
};

void CNNArithmeticGradient::archive(mps::Archive& archive) {
    CNNGradientKernel::archive(archive);
    archive("isSecondarySourceFilter", isSecondarySourceFilter_);
    archive("primaryScale", primaryScale_);
    archive("secondaryScale", secondaryScale_);
    archive("bias", bias_);
    archive("secondaryStrideInFeatureChannels", secondaryStrideInFeatureChannels_);
    archive("minimumValue", minimumValue_);
    archive("maximumValue", maximumValue_);
}

CNNArithmeticGradient::Geometry
CNNArithmeticGradient::geometryOf(const mps::BinaryPass& pass) const {
    const Image& gradient = pass.primaries[0];
    const Image& destination = pass.destinations[0];
    const uint64_t available =
        mps::channelsInUse(destination, destinationFeatureChannelOffset(), UINT64_MAX);
    Geometry g;
    const StateImpl* state = implOf(pass.sourceStates);
    if (!state) {
        g.window = {0, 0, gradient.width(), gradient.height()};
        g.sumsX = destination.width() == 1 && gradient.width() > 1;
        g.sumsY = destination.height() == 1 && gradient.height() > 1;
        g.sumsChannels = available == 1 && pass.primaryChannels > 1;
        g.channels = g.sumsChannels ? 1 : pass.primaryChannels;
        return g;
    }
    const auto& operand = isSecondarySourceFilter_ ? state->secondary : state->primary;
    g.window = operand.clip;
    g.operandWidth = operand.sourceWidth;
    g.operandHeight = operand.sourceHeight;
    g.sumsX = operand.window.strideX == 0;
    g.sumsY = operand.window.strideY == 0;
    g.sumsChannels = (isSecondarySourceFilter_ ? state->secondaryStrideInFeatureChannels
                                               : state->primaryStrideInFeatureChannels) == 0;
    // An offset beyond the edge of a clamped operand repeats the edge pixel.
    const bool clamps = operand.edgeMode == ImageEdgeMode::Clamp;
    const auto place = [clamps](int64_t offset, uint64_t size) {
        return clamps ? std::clamp<int64_t>(offset, 0, int64_t(size) - 1) : offset;
    };
    g.sumX = place(operand.offset.x, operand.sourceWidth) - pass.clip.x;
    g.sumY = place(operand.offset.y, operand.sourceHeight) - pass.clip.y;
    g.clampsX = g.clampsY = clamps;
    g.channels =
        g.sumsChannels ? std::min(operand.sourceChannels, available) : pass.primaryChannels;
    return g;
}

uint64_t CNNArithmeticGradient::channelsWritten(const mps::BinaryPass& pass) const {
    return geometryOf(pass).channels;
}

void CNNArithmeticGradient::customizeDestination(const ImageBatch& sources,
                                                 const StateBatch& states, ImageDescriptor& d) {
    const StateImpl* state = implOf(states);
    if (!state) {
        const Image& like = sources[multiplies() ? 0 : 1];
        const auto& source = multiplies() ? primary() : secondary();
        setPrimaryOffset({0, 0, primaryOffset().z});
        d.setWidth(like.width());
        d.setHeight(like.height());
        d.setFeatureChannels(
            destinationFeatureChannelOffset() +
            mps::channelsInUse(like, source.channelOffset, source.channelMaxCount));
        return;
    }
    const auto& operand = isSecondarySourceFilter_ ? state->secondary : state->primary;
    const bool otherIsSecondary =
        multiplies() ? !isSecondarySourceFilter_ : isSecondarySourceFilter_;
    const auto& second = otherIsSecondary ? state->secondary : state->primary;
    d.setWidth(operand.sourceWidth);
    d.setHeight(operand.sourceHeight);
    d.setFeatureChannels(destinationFeatureChannelOffset() + operand.sourceChannels);
    d.setNumberOfImages(operand.sourceNumberOfImages);
    MTL::Region images = clipRect();
    images.origin.z = operand.firstSourceImage;
    images.size.depth = operand.images;
    setClipRect(images);

    // Operand pixel x was read for result pixel clip + x - offset, and with it the other operand's
    // pixel offset' + stride' * (x - offset). A sum over an axis starts at the clip rectangle's
    // edge.
    const mps::Clip& clip = operand.clip;
    const auto at = [](uint64_t origin, uint64_t size) {
        return origin < size ? int64_t(origin) : 0;
    };
    const int64_t beginX =
        operand.window.strideX ? at(clipRect().origin.x, d.width()) - operand.offset.x : 0;
    const int64_t beginY =
        operand.window.strideY ? at(clipRect().origin.y, d.height()) - operand.offset.y : 0;
    setPrimaryOffset({clip.x + beginX, clip.y + beginY, int64_t(operand.firstImage)});
    setSecondaryOffset({second.offset.x + int64_t(second.window.strideX) * beginX,
                        second.offset.y + int64_t(second.window.strideY) * beginY,
                        second.offset.z});
    setPrimarySourceFeatureChannelOffset(operand.destinationChannelOffset);
    setPrimarySourceFeatureChannelMaxCount(state->resultChannels);
    setSecondarySourceFeatureChannelOffset(second.sourceChannelOffset);
    setSecondarySourceFeatureChannelMaxCount(second.sourceChannels);
    setSecondaryEdgeMode(second.edgeMode);
    setSecondaryStrideInPixelsX(second.window.strideX);
    setSecondaryStrideInPixelsY(second.window.strideY);
    secondaryStrideInFeatureChannels_ = otherIsSecondary ? state->secondaryStrideInFeatureChannels
                                                         : state->primaryStrideInFeatureChannels;
}

void CNNArithmeticGradient::validate(const mps::BinaryPass& pass) const {
    const std::string who = subject();
    CNNGradientKernel::validate(pass);
    mps::checkUnitStride(who, "secondaryStrideInPixelsX", secondaryStrideInPixelsX());
    mps::checkUnitStride(who, "secondaryStrideInPixelsY", secondaryStrideInPixelsY());
    mps::checkUnitStride(who, "secondaryStrideInFeatureChannels",
                         secondaryStrideInFeatureChannels_);
    for (const State& given : pass.sourceStates) {
        const auto* state = dynamic_cast<const StateImpl*>(given.shared().get());
        if (!state || state->primary.className != forwardClassName())
            throw InvalidArgument(
                who + "gradientState was made by " +
                (state ? "a " + state->primary.className : "no arithmetic kernel") +
                " but this kernel takes those of a " + forwardClassName() + ".");
        mps::checkMaskImages(who, "gradientState", *state,
                             pass.primaries.size() > 1 ? 1 : pass.batchCount);
        if (state->hasMask != implOf(pass.sourceStates)->hasMask)
            throw InvalidArgument(who + "Some of the gradient states were made for clamped results "
                                        "and some without bounds.");
        const auto& r = state->primary;
        const Image& gradient = pass.primaries[0];
        if (gradient.width() != r.destinationWidth || gradient.height() != r.destinationHeight)
            throw InvalidArgument(who + "sourceGradient is " +
                                  mps::sizeText(gradient.width(), gradient.height()) +
                                  " but the forward result was " +
                                  mps::sizeText(r.destinationWidth, r.destinationHeight) + ".");
        if (pass.primaryChannels != state->resultChannels)
            throw InvalidArgument(who + "sourceGradient has " +
                                  std::to_string(pass.primaryChannels) +
                                  " feature channels in use but the forward result had " +
                                  std::to_string(state->resultChannels) + ".");
    }
    if (!hasImages(pass)) return;
    mps::checkChannels(who, "destinationGradient", pass.destinations[0],
                       destinationFeatureChannelOffset(), geometryOf(pass).channels);
    if (multiplies() && secondaryStrideInFeatureChannels_ &&
        pass.secondaryChannels != pass.primaryChannels)
        throw InvalidArgument(who + "sourceImage has " + std::to_string(pass.secondaryChannels) +
                              " feature channels in use but sourceGradient " +
                              std::to_string(pass.primaryChannels) +
                              ": they must be equal, or secondaryStrideInFeatureChannels 0.");
}

void CNNArithmeticGradient::dispatch(const mps::BinaryPass& pass) const {
    const Geometry g = geometryOf(pass);
    const bool bounded = minimumValue_ != -FLT_MAX || maximumValue_ != FLT_MAX;
    const bool readsMask = bounded && !pass.stateBuffers.empty();
    const uint64_t places = (g.sumsX ? g.window.width : 1) * (g.sumsY ? g.window.height : 1) *
                            (g.sumsChannels ? mps::slicesFor(pass.primaryChannels) : 1);
    // By one image alone, so that a batch gives the same bits however it is cut into runs.
    const uint64_t results = pass.clip.width * pass.clip.height * mps::slicesFor(g.channels);
    const uint64_t lanes = std::min(threads, std::bit_ceil(vk::divideUp(places, placesPerThread)));
    const uint64_t parts = std::clamp<uint64_t>(
        std::min(places / (lanes * placesPerThread), enoughThreads / (results * lanes)), 1,
        mostParts);
    glsl::CNNArithmeticGradientParameters p{
        .gradient = pass.primaryView,
        .secondary = pass.secondaryView,
        .destination = pass.destination.view(destinationFeatureChannelOffset(), g.channels),
        .clipX = int(pass.clip.x),
        .clipY = int(pass.clip.y),
        .clipWidth = uint32_t(pass.clip.width),
        .clipHeight = uint32_t(pass.clip.height),
        .beginX = int(g.window.x),
        .beginY = int(g.window.y),
        .sizeX = uint32_t(g.window.width),
        .sizeY = uint32_t(g.window.height),
        .gradientOffsetX = int(primaryOffset().x),
        .gradientOffsetY = int(primaryOffset().y),
        .sumX = int(g.sumX),
        .sumY = int(g.sumY),
        .reducesX = g.sumsX,
        .reducesY = g.sumsY,
        .reducesChannels = g.sumsChannels,
        .clampsX = g.clampsX,
        .clampsY = g.clampsY,
        .multiplies = multiplies(),
        .secondaryOffsetX = int(secondaryOffset().x),
        .secondaryOffsetY = int(secondaryOffset().y),
        .secondaryStrideX = int(secondaryStrideInPixelsX()),
        .secondaryStrideY = int(secondaryStrideInPixelsY()),
        .secondaryStrideChannels = uint32_t(secondaryStrideInFeatureChannels_),
        .secondaryClampEdges = secondaryEdgeMode() == ImageEdgeMode::Clamp,
        .readsMask = readsMask,
        .maskStride = readsMask ? uint32_t(pass.stateBuffers[0].strideBytes / 4) : 0,
        .scale = primaryScale_ * (multiplies() ? secondaryScale_ : 1),
        .images = uint32_t(pass.imageCount),
        .lanes = uint32_t(lanes),
        .parts = uint32_t(parts),
        .operandWidth = uint32_t(g.operandWidth),
        .operandHeight = uint32_t(g.operandHeight),
    };
    // Each channel over all pixels of an image.
    const bool overPixels = g.sumsX && g.sumsY && !g.sumsChannels && places >= 256 &&
                            pass.clip.width * pass.clip.height == 1 && g.sumX == 0 && g.sumY == 0;
    const uint32_t texelsEach = overPixels && pass.primary.hasPairs(pass.primaryView) ? 2 : 1;
    if (overPixels) {
        mps::WalkShape shape{g.window.width, g.window.height, 1, pass.primaryChannels, texelsEach};
        shape.chunksAtMost =
            mps::chunksOfImage(shape.width, shape.height, pass.primaryChannels, 64);
        if (!multiplies() && mps::isFlat(shape, pass.primary, p.gradient)) {
            mps::flatten(shape, {&p.gradient});
            p.sizeX = uint32_t(shape.width);
        }
        p.walk = mps::walkOver(shape, mps::WalkUse::Sums);
        p.parts = p.walk.chunks;
    }
    const uint64_t items = results * pass.imageCount * p.parts;
    const auto partials =
        overPixels || p.parts > 1 ? pass.encoder->scratch(items * 4 * sizeof(float)) : nullptr;
    const vk::BufferSlice mask = readsMask ? pass.stateBuffers[0].all : vk::BufferSlice{};
    const auto plain = mps::constant(32, uint32_t(!multiplies() && !readsMask));
    if (overPixels) {
        auto grid = mps::walkGrid(p.walk, texelsEach, pass.primaryView.channels % 4 == 0);
        grid.x *= pass.imageCount;
        pass.encoder->dispatch("CNNArithmeticGradientPixels", p, grid,
                               {{1, pass.primary}, {2, pass.secondary}, {4, mask}, {5, *partials}},
                               {plain});
    } else {
        pass.encoder->dispatch("CNNArithmeticGradient", p, mps::Grid::of(items * lanes),
                               {{1, pass.primary},
                                {2, pass.secondary},
                                {3, partials ? mps::ImageRun{} : pass.destination},
                                {4, mask},
                                {5, partials ? *partials : vk::BufferSlice{}}},
                               {plain});
    }
    if (!partials) return;
    const glsl::CNNArithmeticGradientSumParameters sum{
        .destination = p.destination,
        .clipX = p.clipX,
        .clipY = p.clipY,
        .parts = p.parts,
        .reducesChannels = p.reducesChannels,
    };
    pass.encoder->dispatch("CNNArithmeticGradientSum", sum,
                           mps::Grid::over(mps::slicesFor(g.channels), pass.clip.width,
                                           pass.clip.height, pass.imageCount),
                           {{1, *partials}, {2, pass.destination}});
}

} // namespace mpsvk::MPS
