#include "NNResize.h"

#include "mps/Archive.hpp"
#include "mps/NNReduce.hpp"
#include "mps/PassChecks.hpp"
#include "mtl/Buffer.hpp"

#include <mpsvk/Error.hpp>
#include <mpsvk/MPS/NNResize.hpp>

#include <cmath>

namespace mpsvk::MPS {

namespace {

void checkSize(const std::string& who, uint64_t width, uint64_t height) {
    if (width == 0 || height == 0)
        throw InvalidArgument(who + "The resized image is " + mps::sizeText(width, height) +
                              " but must have a pixel.");
}

mps::Clip clipOf(uint64_t width, uint64_t height) { return {0, 0, width, height}; }

/// x * numerator / denominator is the source's pixel for the result's pixel x.
struct Scale {
    Scale(uint64_t size, uint64_t resized, bool alignCorners)
        : numerator(alignCorners ? size - 1 : size),
          denominator(alignCorners ? resized - 1 : resized) {
        if (denominator == 0) numerator = 0, denominator = 1;
    }
    bool fits(uint64_t pixels) const { return double(pixels) * double(numerator) < 0x1p32; }
    uint64_t numerator, denominator;
};

/// A region along one axis.
struct Axis {
    Axis(double origin, double length, uint64_t size, uint64_t resized)
        : start((resized == 1 ? origin + length / 2 : origin) * double(size - 1)),
          step(resized == 1 ? 0 : length * double(size - 1) / double(resized - 1)) {}
    bool fits(uint64_t resized) const {
        return std::abs(start) + std::abs(step) * double(resized) < 0x1p30;
    }
    double start, step;
};

Axis axisX(const Region& r, const Image& source, uint64_t resized) {
    return {r.origin.x, r.size.width, source.width(), resized};
}
Axis axisY(const Region& r, const Image& source, uint64_t resized) {
    return {r.origin.y, r.size.height, source.height(), resized};
}

glsl::FixedPoint fixedPoint(double value) {
    const double whole = std::floor(value), fraction = std::round((value - whole) * 0x1p32);
    if (fraction == 0x1p32) return {int(whole) + 1, 0};
    return {int(whole), uint32_t(fraction)};
}

void checkRegions(const std::string& who, uint64_t width, uint64_t height, uint64_t count,
                  const std::vector<Region>& regions) {
    checkSize(who, width, height);
    if (regions.empty() || regions.size() != count)
        throw InvalidArgument(who + "numberOfRegions is " + std::to_string(count) +
                              " but there are " + std::to_string(regions.size()) +
                              " regions, and at least one is needed.");
    for (size_t i = 0; i < regions.size(); ++i) {
        const Region& r = regions[i];
        if (!std::isfinite(r.origin.x) || !std::isfinite(r.origin.y) ||
            !std::isfinite(r.size.width) || !std::isfinite(r.size.height))
            throw InvalidArgument(who + "regions[" + std::to_string(i) +
                                  "] has a value that is no finite number.");
    }
}

} // namespace

NNResizeBilinear::NNResizeBilinear(const MTL::Device& device, uint64_t resizeWidth,
                                   uint64_t resizeHeight, bool alignCorners)
    : CNNKernel(device, "NNResizeBilinear"), resizeWidth_(resizeWidth), resizeHeight_(resizeHeight),
      alignCorners_(alignCorners) {
    checkSize("[NNResizeBilinear] ", resizeWidth, resizeHeight);
}

void NNResizeBilinear::archive(mps::Archive& archive) {
    CNNKernel::archive(archive);
    archive("resizeWidth", resizeWidth_);
    archive("resizeHeight", resizeHeight_);
    archive("alignCorners", alignCorners_);
    checkSize(subject(), resizeWidth_, resizeHeight_);
}

void NNResizeBilinear::customizeDestination(const ImageBatch&, ImageDescriptor& d) {
    d.setWidth(resizeWidth_);
    d.setHeight(resizeHeight_);
}

void NNResizeBilinear::validate(const mps::UnaryPass& pass) const {
    mps::checkResultHolds(subject(), pass.clip, clipOf(resizeWidth_, resizeHeight_));
    const Image& source = pass.sources[0];
    const auto fits = [](int64_t offset) { return std::abs(double(offset)) < 0x1p30; };
    if (!Scale(source.width(), resizeWidth_, alignCorners_).fits(pass.clip.width) ||
        !Scale(source.height(), resizeHeight_, alignCorners_).fits(pass.clip.height) ||
        !fits(pass.offset.x) || !fits(pass.offset.y))
        throw InvalidArgument(subject() + "From " + mps::sizeText(source.width(), source.height()) +
                              " pixels with the offset (" + std::to_string(pass.offset.x) + ", " +
                              std::to_string(pass.offset.y) + ") to " +
                              mps::sizeText(resizeWidth_, resizeHeight_) +
                              " is further than positions can be counted.");
}

void NNResizeBilinear::dispatch(const mps::UnaryPass& pass) const {
    const Image& source = pass.sources[0];
    const Scale x(source.width(), resizeWidth_, alignCorners_),
        y(source.height(), resizeHeight_, alignCorners_);
    const glsl::NNResizeBilinearParameters parameters{
        .source = pass.sourceView,
        .destination = pass.destinationView,
        .clipX = int(pass.clip.x),
        .clipY = int(pass.clip.y),
        .offsetX = int(pass.offset.x),
        .offsetY = int(pass.offset.y),
        .numeratorX = uint32_t(x.numerator),
        .denominatorX = uint32_t(x.denominator),
        .numeratorY = uint32_t(y.numerator),
        .denominatorY = uint32_t(y.denominator),
    };
    pass.encoder->dispatch("NNResizeBilinear", parameters, pass.clipGrid(),
                           {{1, pass.source}, {2, pass.destination}});
}

NNCropAndResizeBilinear::NNCropAndResizeBilinear(const MTL::Device& device, uint64_t resizeWidth,
                                                 uint64_t resizeHeight, uint64_t numberOfRegions,
                                                 std::span<const Region> regions)
    : CNNKernel(device, "NNCropAndResizeBilinear"), resizeWidth_(resizeWidth),
      resizeHeight_(resizeHeight), regions_(regions.begin(), regions.end()) {
    checkRegions("[NNCropAndResizeBilinear] ", resizeWidth, resizeHeight, numberOfRegions,
                 regions_);
}

NNCropAndResizeBilinear::NNCropAndResizeBilinear(KeyedUnarchiver& coder, const MTL::Device& device)
    : NNCropAndResizeBilinear(deviceFor(coder, device), 1, 1, 1, std::vector<Region>(1)) {
    unarchive(coder);
}

void NNCropAndResizeBilinear::archive(mps::Archive& archive) {
    CNNKernel::archive(archive);
    archive("resizeWidth", resizeWidth_);
    archive("resizeHeight", resizeHeight_);
    archive("regions", regions_);
    checkRegions(subject(), resizeWidth_, resizeHeight_, regions_.size(), regions_);
}

NNCropAndResizeBilinear NNCropAndResizeBilinear::copy(const MTL::Device& device) const {
    NNCropAndResizeBilinear made(*this);
    made.setDevice(device);
    made.table_ = {};
    return made;
}

void NNCropAndResizeBilinear::customizeDestination(const ImageBatch& sources, ImageDescriptor& d) {
    d.setWidth(resizeWidth_);
    d.setHeight(resizeHeight_);
    d.setNumberOfImages(sources[0].numberOfImages() * regions_.size());
}

void NNCropAndResizeBilinear::validate(const mps::UnaryPass& pass) const {
    mps::checkResultHolds(subject(), pass.clip, clipOf(resizeWidth_, resizeHeight_));
    if (pass.offset.x != 0 || pass.offset.y != 0)
        throw InvalidArgument(subject() + "offset is (" + std::to_string(pass.offset.x) + ", " +
                              std::to_string(pass.offset.y) +
                              ") but must be (0, 0): the regions say what is read.");
    const Image& source = pass.sources[0];
    for (size_t i = 0; i < regions_.size(); ++i)
        if (!axisX(regions_[i], source, resizeWidth_).fits(resizeWidth_) ||
            !axisY(regions_[i], source, resizeHeight_).fits(resizeHeight_))
            throw InvalidArgument(subject() + "regions[" + std::to_string(i) + "] of the " +
                                  mps::sizeText(source.width(), source.height()) +
                                  " source reaches further than 2^30 pixels.");
}

const MTL::Buffer& NNCropAndResizeBilinear::tableFor(const Image& source) const {
    if (table_.width == source.width() && table_.height == source.height()) return table_.buffer;
    std::vector<glsl::CropRegion> table;
    for (const Region& r : regions_) {
        const Axis x = axisX(r, source, resizeWidth_), y = axisY(r, source, resizeHeight_);
        table.push_back(
            {fixedPoint(x.start), fixedPoint(x.step), fixedPoint(y.start), fixedPoint(y.step)});
    }
    table_ = {source.width(), source.height(), device().newBuffer(std::as_bytes(std::span(table)))};
    return table_.buffer;
}

void NNCropAndResizeBilinear::dispatch(const mps::UnaryPass& pass) const {
    const glsl::NNCropAndResizeBilinearParameters parameters{
        .source = pass.sourceView,
        .destination = pass.destinationView,
        .clipX = int(pass.clip.x),
        .clipY = int(pass.clip.y),
        .clipWidth = uint32_t(pass.clip.width),
        .clipHeight = uint32_t(pass.clip.height),
        .images = uint32_t(pass.imageCount),
        .regions = uint32_t(regions_.size()),
        .regionStride = pass.destination.elementStride(),
        .clampEdges = pass.edgeMode == ImageEdgeMode::Clamp,
    };
    pass.encoder->dispatch(
        "NNCropAndResizeBilinear", parameters, mps::Grid::of(pass.clipTexels() * regions_.size()),
        {{1, pass.source}, {2, pass.destination}, {3, tableFor(pass.sources[0]).impl().slice}});
}

} // namespace mpsvk::MPS
