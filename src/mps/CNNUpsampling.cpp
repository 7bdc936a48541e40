#include "mps/CNNUpsampling.hpp"

#include "CNNUpsampling.h"
#include "mps/Archive.hpp"
#include "mps/PassChecks.hpp"

#include <mpsvk/Error.hpp>
#include <mpsvk/MPS/CNNUpsampling.hpp>

#include <algorithm>
#include <cmath>

namespace mpsvk::mps {

namespace {

struct Fraction {
    uint64_t over = 1, under = 1;
    double value() const { return double(over) / double(under); }
};

/// The nearest fraction with both numbers at least 1 and within the limits, by the continued
/// fraction of the value.
Fraction nearestFraction(double value, uint64_t mostOver, uint64_t mostUnder) {
    uint64_t over[2] = {0, 1}, under[2] = {1, 0}; // of the last two convergents
    double rest = value;
    for (;;) {
        const double whole = std::floor(rest);
        const auto room = [](uint64_t most, const uint64_t(&c)[2]) {
            return c[1] ? double((most - std::min(most, c[0])) / c[1]) : INFINITY;
        };
        const double fits = std::min({whole, room(mostOver, over), room(mostUnder, under)});
        // A convergent cut short is nearer than the one before from half the digit on.
        if (fits < whole && (2 * fits < whole || fits < 1)) break;
        const auto next = [&](uint64_t(&c)[2]) {
            const uint64_t made = uint64_t(fits) * c[1] + c[0];
            c[0] = c[1];
            c[1] = made;
        };
        next(over);
        next(under);
        if (fits < whole || double(over[1]) / double(under[1]) == value) break;
        rest = 1 / (rest - whole);
    }
    return {std::max<uint64_t>(over[1], 1), std::max<uint64_t>(under[1], 1)};
}

} // namespace

void checkScaleFactors(const char* className, double x, double y) {
    if (std::isfinite(x) && std::isfinite(y) && x > 0 && y > 0) return;
    throw InvalidArgument("[" + std::string(className) + "] The scale factors are " +
                          std::to_string(x) + " and " + std::to_string(y) +
                          " but each must be a finite number above 0.");
}

void checkWholeFactors(const char* className, double x, double y) {
    if (x == std::floor(x) && y == std::floor(y)) return;
    throw InvalidArgument("[" + std::string(className) + "] The scale factors are " +
                          std::to_string(x) + " and " + std::to_string(y) +
                          " but each must be a whole number.");
}

uint64_t upsampledSize(uint64_t source, double scale) {
    const double size = std::floor(double(source) * scale);
    return size < 9e18 ? uint64_t(size) : UINT64_MAX;
}

SampleStep::SampleStep(double scale, bool alignCorners, uint64_t source, uint64_t results) {
    const uint64_t all = upsampledSize(source, scale);
    double ratio = scale; // of results to source
    if (alignCorners) ratio = source > 1 && all > 1 ? double(all - 1) / double(source - 1) : 1;
    // No product with a position or a result may reach 2^30; both are exact as floats.
    constexpr uint64_t most = (uint64_t(1) << 30) - 1, exact = 1 << 24;
    const Fraction f = nearestFraction(ratio, std::min(exact, most / (source + 3)),
                                       std::min(exact, most / (results + 3)));
    per = uint32_t(f.over);
    step = uint32_t(f.under);
    error = std::abs(double(step) / double(per) - 1 / ratio) * double(results);
}

void checkSampleStep(const std::string& who, const SampleStep& x, const SampleStep& y) {
    if (std::max(x.error, y.error) < 1e-3) return;
    throw InvalidArgument(who +
                          "The scale factor is no fraction of small whole numbers, and for "
                          "so large an image positions would be wrong by " +
                          std::to_string(std::max(x.error, y.error)) + " pixels.");
}

} // namespace mpsvk::mps

namespace mpsvk::MPS {

namespace {

struct Steps {
    mps::SampleStep x, y;
};

Steps stepsOf(const CNNUpsampling& kernel, const mps::UnaryPass& pass) {
    return {
        {kernel.scaleFactorX(), kernel.alignCorners(), pass.sources[0].width(), pass.clip.width},
        {kernel.scaleFactorY(), kernel.alignCorners(), pass.sources[0].height(), pass.clip.height}};
}

} // namespace

CNNUpsampling::CNNUpsampling(const MTL::Device& device, const char* className, double scaleFactorX,
                             double scaleFactorY, bool alignCorners)
    : CNNKernel(device, className), scaleFactorX_(scaleFactorX), scaleFactorY_(scaleFactorY),
      alignCorners_(alignCorners) {
    mps::checkScaleFactors(className, scaleFactorX, scaleFactorY);
}

void CNNUpsampling::archive(mps::Archive& archive) {
    CNNKernel::archive(archive);
    archive("scaleFactorX", scaleFactorX_);
    archive("scaleFactorY", scaleFactorY_);
    archive("alignCorners", alignCorners_);
    mps::checkScaleFactors(className().c_str(), scaleFactorX_, scaleFactorY_);
}

void CNNUpsamplingNearest::archive(mps::Archive& archive) {
    CNNUpsampling::archive(archive);
    mps::checkWholeFactors("CNNUpsamplingNearest", scaleFactorX(), scaleFactorY());
}

StateBatch CNNUpsampling::makeResultStates(const mps::StateRequest& request) const {
    StateBatch made;
    for (size_t i = 0; i < request.count(); ++i) {
        auto state = std::make_shared<mps::UpsamplingState>(request.device, request.record);
        state->scaleX = scaleFactorX_;
        state->scaleY = scaleFactorY_;
        state->alignCorners = alignCorners_;
        made.push_back(NNGradientState(std::move(state)));
    }
    return made;
}

void CNNUpsampling::customizeDestination(const ImageBatch& sources, ImageDescriptor& d) {
    d.setWidth(mps::upsampledSize(sources[0].width(), scaleFactorX_));
    d.setHeight(mps::upsampledSize(sources[0].height(), scaleFactorY_));
    if (d.width() == 0 || d.height() == 0)
        throw InvalidArgument(subject() + "sourceImage is " +
                              mps::sizeText(sources[0].width(), sources[0].height()) +
                              ": scaled by " + std::to_string(scaleFactorX_) + " and " +
                              std::to_string(scaleFactorY_) + " it leaves no pixel.");
}

void CNNUpsampling::validate(const mps::UnaryPass& pass) const {
    mps::checkWindowReach(subject(), pass.offset, pass.window, pass.sources[0].width(),
                          pass.sources[0].height());
    mps::checkResultSizes(subject(), pass);
    const Steps steps = stepsOf(*this, pass);
    mps::checkSampleStep(subject(), steps.x, steps.y);
}

void CNNUpsampling::dispatch(const mps::UnaryPass& pass) const {
    const Steps steps = stepsOf(*this, pass);
    const glsl::CNNUpsamplingParameters parameters{
        .source = pass.sourceView,
        .destination = pass.destinationView,
        .clipX = int(pass.clip.x),
        .clipY = int(pass.clip.y),
        .offsetX = int(pass.offset.x),
        .offsetY = int(pass.offset.y),
        .stepX = steps.x.step,
        .perX = steps.x.per,
        .stepY = steps.y.step,
        .perY = steps.y.per,
        .clampEdges = pass.edgeMode == ImageEdgeMode::Clamp,
    };
    pass.encoder->dispatch(
        shader(), parameters, pass.pairGrid(), {{1, pass.source}, {2, pass.destination}},
        {mps::constant(32, steps.x.constantStep()), mps::constant(33, steps.x.constantPer()),
         mps::constant(34, steps.y.constantStep()), mps::constant(35, steps.y.constantPer())});
}

} // namespace mpsvk::MPS
