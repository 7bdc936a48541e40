#include "CNNUpsampling.h"
#include "mps/Archive.hpp"
#include "mps/CNNUpsampling.hpp"
#include "mps/DeviceTable.hpp"
#include "mps/PassChecks.hpp"

#include <mpsvk/Error.hpp>
#include <mpsvk/MPS/CNNUpsampling.hpp>

#include <algorithm>

namespace mpsvk::MPS {

namespace {

/// Of the strips of pixels that an invocation of the bilinear gradient has. Larger factors would
/// make large shaders, and a CPU has in its caches what a strip's pixels share:
/// `MPSVK_DISABLE=cached_strips` makes it take strips all the same.
constexpr uint32_t largestStripFactor = 4;
constexpr uint32_t stripHeight = 2; // as the shader has it

const mps::UpsamplingState* upsamplingState(const State& state) {
    return dynamic_cast<const mps::UpsamplingState*>(state.shared().get());
}

/// One axis of the gradient: results first ... end-1 exist, result 0 at pixel `gradient`.
struct Axis {
    Axis(double scale, bool alignCorners, int64_t primaryOffset, int64_t secondaryOffset,
         uint64_t gradientSize, uint64_t results, uint64_t sourceSize)
        : gradient(primaryOffset), offset(secondaryOffset), source(int64_t(sourceSize)),
          origin(std::clamp<int64_t>(secondaryOffset, 0, source - 1)),
          first(std::max<int64_t>(0, -primaryOffset)),
          end(std::max(first, int64_t(std::min<uint64_t>(
                                  results, uint64_t(std::max<int64_t>(0, int64_t(gradientSize) -
                                                                             primaryOffset)))))),
          // With the forward kernel's own number of results, the positions are its very own.
          step(scale, alignCorners, sourceSize, results == UINT64_MAX ? uint64_t(end) : results) {}
    /// The whole part of the last result's position.
    int reach() const {
        return int(uint64_t(std::max<int64_t>(0, end - 1)) * step.step / step.per);
    }

    /// Whether the gradient of as many pixels may go in strips: each of them has `per` results, the
    /// first of which lies on it, so that all but the first have as many results on either side.
    bool suitsStrips(uint64_t pixels) const {
        return step.step == 1 && step.per <= largestStripFactor && offset == 0 && first == 0 &&
               end == source * int64_t(step.per) && int64_t(pixels) <= source;
    }

    int64_t gradient, offset, source, origin, first, end;
    mps::SampleStep step;
};

struct Geometry {
    Geometry(const CNNUpsamplingGradient& kernel, const mps::BinaryPass& pass)
        : state(pass.sourceStates.empty() ? nullptr : upsamplingState(pass.sourceStates[0])),
          x(kernel.scaleFactorX(), state && state->alignCorners, kernel.primaryOffset().x,
            kernel.secondaryOffset().x, pass.primaries[0].width(),
            state ? state->record.clip.width : UINT64_MAX, pass.secondaries[0].width()),
          y(kernel.scaleFactorY(), state && state->alignCorners, kernel.primaryOffset().y,
            kernel.secondaryOffset().y, pass.primaries[0].height(),
            state ? state->record.clip.height : UINT64_MAX, pass.secondaries[0].height()) {}
    const mps::UpsamplingState* state;
    Axis x, y;
};

} // namespace

CNNUpsamplingGradient::CNNUpsamplingGradient(const MTL::Device& device, const char* className,
                                             double scaleFactorX, double scaleFactorY)
    : CNNGradientKernel(device, className), scaleFactorX_(scaleFactorX),
      scaleFactorY_(scaleFactorY) {
    mps::checkScaleFactors(className, scaleFactorX, scaleFactorY);
}

void CNNUpsamplingGradient::archive(mps::Archive& archive) {
    CNNGradientKernel::archive(archive);
    archive("scaleFactorX", scaleFactorX_);
    archive("scaleFactorY", scaleFactorY_);
    mps::checkScaleFactors(className().c_str(), scaleFactorX_, scaleFactorY_);
}

void CNNUpsamplingNearestGradient::archive(mps::Archive& archive) {
    CNNUpsamplingGradient::archive(archive);
    mps::checkWholeFactors("CNNUpsamplingNearestGradient", scaleFactorX(), scaleFactorY());
}

void CNNUpsamplingGradient::takeForwardRecord(const mps::ForwardRecord& r) {
    CNNGradientKernel::takeForwardRecord(r);
    setPrimaryOffset({r.clip.x, r.clip.y, primaryOffset().z});
    const auto first = [](int64_t offset, uint64_t size) {
        return uint64_t(std::clamp<int64_t>(offset, 0, int64_t(size) - 1));
    };
    MTL::Region clip = clipRect();
    clip.origin.x = first(r.offset.x, r.sourceWidth);
    clip.origin.y = first(r.offset.y, r.sourceHeight);
    clip.size.width = r.sourceWidth - clip.origin.x;
    clip.size.height = r.sourceHeight - clip.origin.y;
    setClipRect(clip);
}

void CNNUpsamplingGradient::customizeDestination(const ImageBatch& sources,
                                                 const StateBatch& states, ImageDescriptor& d) {
    for (const State& state : states)
        if (const auto* own = upsamplingState(state))
            mps::checkForwardSizes(subject(), "upsampled", own->record, sources[0], sources[1]);
    CNNGradientKernel::customizeDestination(sources, states, d);
}

void CNNUpsamplingGradient::validate(const mps::BinaryPass& pass) const {
    CNNGradientKernel::validate(pass);
    const std::string who = subject();
    mps::checkGradientChannels(who, pass);
    mps::checkWindowReach(who, primaryOffset(), {}, pass.primaries[0].width(),
                          pass.primaries[0].height());
    mps::checkWindowReach(who, secondaryOffset(), {}, pass.secondaries[0].width(),
                          pass.secondaries[0].height());
    for (const State& state : pass.sourceStates) {
        const auto* own = upsamplingState(state);
        if (own && (own->scaleX != scaleFactorX_ || own->scaleY != scaleFactorY_))
            throw InvalidArgument(
                who + "The gradient state's scale factors are " + std::to_string(own->scaleX) +
                " and " + std::to_string(own->scaleY) + " but this kernel's are " +
                std::to_string(scaleFactorX_) + " and " + std::to_string(scaleFactorY_) + ".");
    }
    const Geometry geometry(*this, pass);
    mps::checkSampleStep(who, geometry.x.step, geometry.y.step);
}

void CNNUpsamplingGradient::dispatch(const mps::BinaryPass& pass) const {
    const Geometry geometry(*this, pass);
    const Axis &x = geometry.x, &y = geometry.y;
    const glsl::CNNUpsamplingGradientParameters parameters{
        .gradient = pass.primaryView,
        .destination = pass.destinationView,
        .clipX = int(pass.clip.x),
        .clipY = int(pass.clip.y),
        .originX = int(x.origin),
        .originY = int(y.origin),
        .offsetX = int(x.offset),
        .offsetY = int(y.offset),
        .stepX = x.step.step,
        .perX = x.step.per,
        .stepY = y.step.step,
        .perY = y.step.per,
        .gradientX = int(x.gradient),
        .gradientY = int(y.gradient),
        .firstX = int(x.first),
        .firstY = int(y.first),
        .endX = int(x.end),
        .endY = int(y.end),
        .reachX = x.reach(),
        .reachY = y.reach(),
        .sourceWidth = int(x.source),
        .sourceHeight = int(y.source),
        .clampEdges = secondaryEdgeMode() == ImageEdgeMode::Clamp,
        .clipWidth = uint32_t(pass.clip.width),
        .clipHeight = uint32_t(pass.clip.height),
    };
    // An invocation of the bilinear gradient has neighbours in a row: finding pixels is what holds
    // fp16 up. In fp32, and instead of pairs of texels, more invocations hide each other's waits
    // better. Where the geometry allows it, it has a strip of them, which share more.
    const bool isBilinear = forwardClassName() == "CNNUpsamplingBilinear";
    const bool inStrips = isBilinear && !mps::isCpuWith(pass.encoder->device(), "cached_strips") &&
                          x.suitsStrips(pass.clip.width) && y.suitsStrips(pass.clip.height);
    const uint32_t neighbours =
        isBilinear && !inStrips && pass.primary.storageConstant() == 1 ? 2 : 1;
    const uint32_t rows = inStrips ? stripHeight : 1;
    mps::Grid grid = mps::Grid::over(
        mps::slicesFor(pass.destinationChannels), vk::divideUp(pass.clip.width, neighbours),
        vk::divideUp(pass.clip.height, rows), pass.imageCount, isBilinear ? 1 : pass.texelsEach());
    grid.wholeTexels = pass.hasWholeTexels();
    pass.encoder->dispatch(
        inStrips ? "CNNUpsamplingBilinearGradientStrips" : shader(), parameters, grid,
        {{1, pass.primary}, {2, pass.destination}},
        {mps::constant(32, x.step.constantStep()), mps::constant(33, x.step.constantPer()),
         mps::constant(34, y.step.constantStep()), mps::constant(35, y.step.constantPer()),
         mps::constant(36, neighbours)});
}

} // namespace mpsvk::MPS
