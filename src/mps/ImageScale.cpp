#include "ImageScale.h"

#include "mps/Archive.hpp"
#include "mps/PassChecks.hpp"
#include "mtl/Buffer.hpp"

#include <mpsvk/Error.hpp>
#include <mpsvk/MPS/ImageScale.hpp>

#include <algorithm>
#include <cmath>
#include <functional>
#include <numbers>

namespace mpsvk::MPS {

namespace {

constexpr double smallestScale = 0x1p-16, farthest = 0x1p30;

ScaleTransform transformOf(const std::optional<ScaleTransform>& given, const Image& source,
                           const Image& destination) {
    return given.value_or(ScaleTransform{double(destination.width()) / double(source.width()),
                                         double(destination.height()) / double(source.height()), 0,
                                         0});
}

/// What the pixels of a result's columns, or rows, are made of.
struct Axis {
    std::vector<int32_t> firsts;
    std::vector<std::vector<double>> weights;
    size_t taps = 1;

    Axis(uint64_t pixels, uint64_t size, double scale, double translation, double offset,
         double reach, bool widens, const std::function<double(double)>& weight) {
        const double unit = widens ? std::max(1.0, 1 / std::abs(scale)) : 1;
        const int64_t last = int64_t(size) - 1;
        for (uint64_t i = 0; i < pixels; ++i) {
            const double at = offset + (double(i) + .5 - translation) / scale - .5;
            const int64_t low = int64_t(std::floor(at - reach * unit)) + 1;
            const int64_t high = int64_t(std::ceil(at + reach * unit)) - 1;
            const int64_t first = std::clamp<int64_t>(low, 0, last);
            // What lies beyond the edge counts as the edge.
            std::vector<double> all(size_t(std::clamp<int64_t>(high, 0, last) - first + 1));
            double sum = 0;
            for (int64_t k = low; k <= high; ++k) {
                const double w = weight((double(k) - at) / unit);
                all[size_t(std::clamp<int64_t>(k, 0, last) - first)] += w;
                sum += w;
            }
            for (double& w : all) w /= sum;
            firsts.push_back(int32_t(first));
            taps = std::max(taps, all.size());
            weights.push_back(std::move(all));
        }
    }
};

} // namespace

void ImageScale::archive(mps::Archive& archive) {
    CNNKernel::archive(archive);
    bool scales = transform_.has_value();
    ScaleTransform t = transform_.value_or(ScaleTransform{});
    archive("hasScaleTransform", scales);
    archive("scaleX", t.scaleX);
    archive("scaleY", t.scaleY);
    archive("translateX", t.translateX);
    archive("translateY", t.translateY);
    if (archive.isReading()) transform_ = scales ? std::optional(t) : std::nullopt;
}

void ImageScale::customizeDestination(const ImageBatch& sources, ImageDescriptor& d) {
    const auto scaled = [](uint64_t size, double scale) {
        const double exact = std::floor(double(size) * std::abs(scale));
        return exact >= 1 && exact < 65536 ? uint64_t(exact) : exact >= 1 ? uint64_t(65536) : 1;
    };
    const ScaleTransform t = transform_.value_or(ScaleTransform{});
    d.setWidth(scaled(sources[0].width(), t.scaleX));
    d.setHeight(scaled(sources[0].height(), t.scaleY));
}

void ImageScale::validate(const mps::UnaryPass& pass) const {
    const ScaleTransform t = transformOf(transform_, pass.sources[0], pass.destinations[0]);
    const auto check = [&](const char* axis, double scale, double translation, int64_t offset,
                           uint64_t pixels) {
        if (!std::isfinite(scale) || !std::isfinite(translation) || std::abs(scale) < smallestScale)
            throw InvalidArgument(subject() + "The scale in " + axis + " is " +
                                  std::to_string(scale) + " and the translation " +
                                  std::to_string(translation) +
                                  ": both must be finite and the scale at least 2^-16.");
        if ((double(pixels) + std::abs(translation)) / std::abs(scale) + std::abs(double(offset)) >=
            farthest)
            throw InvalidArgument(subject() + "With the scale " + std::to_string(scale) +
                                  ", the translation " + std::to_string(translation) +
                                  " and the offset " + std::to_string(offset) + " in " + axis +
                                  " the source would be read further than 2^30 pixels away.");
    };
    check("x", t.scaleX, t.translateX, pass.offset.x, pass.clip.width);
    check("y", t.scaleY, t.translateY, pass.offset.y, pass.clip.height);
}

const ImageScale::Table& ImageScale::tableFor(const mps::UnaryPass& pass) const {
    const Image& source = pass.sources[0];
    const ScaleTransform t = transformOf(transform_, source, pass.destinations[0]);
    const std::vector<double> key{t.scaleX,
                                  t.scaleY,
                                  t.translateX,
                                  t.translateY,
                                  double(pass.offset.x),
                                  double(pass.offset.y),
                                  double(pass.clip.width),
                                  double(pass.clip.height),
                                  double(source.width()),
                                  double(source.height())};
    if (table_.key == key) return table_;
    const auto own = [this](double distance) { return weight(distance); };
    const Axis x(pass.clip.width, source.width(), t.scaleX, t.translateX, double(pass.offset.x),
                 reach(), widens(), own),
        y(pass.clip.height, source.height(), t.scaleY, t.translateY, double(pass.offset.y), reach(),
          widens(), own);
    std::vector<int32_t> firsts = x.firsts;
    firsts.insert(firsts.end(), y.firsts.begin(), y.firsts.end());
    std::vector<float> weights;
    for (const Axis* axis : {&x, &y})
        for (const auto& all : axis->weights) {
            weights.insert(weights.end(), all.begin(), all.end());
            weights.resize(weights.size() + axis->taps - all.size());
        }
    table_ = {key,
              x.taps,
              y.taps,
              x.taps * pass.clip.width,
              device().newBuffer(std::as_bytes(std::span(firsts))),
              device().newBuffer(std::as_bytes(std::span(weights)))};
    return table_;
}

void ImageScale::dispatch(const mps::UnaryPass& pass) const {
    const Table& table = tableFor(pass);
    const glsl::ImageScaleParameters parameters{
        .source = pass.sourceView,
        .destination = pass.destinationView,
        .clipX = int(pass.clip.x),
        .clipY = int(pass.clip.y),
        .clipWidth = uint32_t(pass.clip.width),
        .clipHeight = uint32_t(pass.clip.height),
        .tapsX = uint32_t(table.tapsX),
        .tapsY = uint32_t(table.tapsY),
        .weightsY = uint32_t(table.weightsY),
        .images = uint32_t(pass.imageCount),
    };
    pass.encoder->dispatch("ImageScale", parameters, mps::Grid::of(pass.clipTexels()),
                           {{1, pass.source},
                            {2, pass.destination},
                            {3, table.firsts.impl().slice},
                            {4, table.weights.impl().slice}});
}

ImageBilinearScale ImageBilinearScale::copy(const MTL::Device& device) const {
    ImageBilinearScale made(device ? device : this->device());
    static_cast<CNNKernel&>(made) = *this;
    made.setDevice(device);
    made.setScaleTransform(scaleTransform());
    return made;
}

ImageLanczosScale ImageLanczosScale::copy(const MTL::Device& device) const {
    ImageLanczosScale made(device ? device : this->device());
    static_cast<CNNKernel&>(made) = *this;
    made.setDevice(device);
    made.setScaleTransform(scaleTransform());
    return made;
}

double ImageBilinearScale::weight(double distance) const {
    return std::max(0.0, 1 - std::abs(distance));
}

double ImageLanczosScale::weight(double distance) const {
    const double x = std::numbers::pi * std::abs(distance);
    if (x == 0) return 1;
    return distance <= -3 || distance >= 3 ? 0 : 3 * std::sin(x) * std::sin(x / 3) / (x * x);
}

} // namespace mpsvk::MPS
