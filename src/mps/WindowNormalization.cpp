#include "mps/WindowNormalization.hpp"

#include "CNNNormalization.h"
#include "geometry.h"
#include "mps/PassChecks.hpp"

#include <algorithm>

namespace mpsvk::mps {

namespace {

using Parameters = glsl::CNNNormalizationParameters;

/// How the work is laid out: texels of each plane of scratch memory for one image.
struct Layout {
    bool separate = false; ///< rows first, then columns
    int firstRow = 0;      ///< of the source rows that windows read
    uint64_t rows = 0;
    uint64_t rowTexels = 0, termTexels = 0, termRowTexels = 0;
    uint64_t rowPlanes = 1, termPlanes = 2;

    uint64_t bytesPerImage() const {
        return 16 * std::max({rowTexels * rowPlanes, termTexels * termPlanes,
                              termRowTexels * rowPlanes});
    }
};

Layout rowsLayout(const MPS::KernelWindow& w, int64_t startY, uint64_t width, uint64_t height,
                  const MPS::Image& source, uint64_t slices, bool centred) {
    Layout made;
    made.rowPlanes = centred ? 2 : 1;
    made.termPlanes = centred ? 3 : 2;
    // Rows and columns read fewer pixels than windows but write and read more memory.
    made.separate = w.width > 1 && w.height > 1 && w.width * w.height > 36;
    if (!made.separate) return made;
    const auto row = [&](int64_t y) { return glsl::clampIndex(int(y), int(source.height())); };
    const int64_t begin = startY - int64_t(w.height / 2);
    made.firstRow = row(begin);
    made.rows = uint64_t(row(begin + int64_t(w.height + height) - 2) - made.firstRow + 1);
    made.rowTexels = slices * width * made.rows;
    return made;
}

Layout forwardLayout(const UnaryPass& pass, bool centred) {
    return rowsLayout(pass.window, pass.offset.y, pass.clip.width, pass.clip.height,
                      pass.sources[0], (pass.sourceChannels + 3) / 4, centred);
}

Layout gradientLayout(const BinaryPass& pass, const MPS::KernelWindow& w, const ForwardResults& r,
                      bool centred) {
    const uint64_t slices = (pass.secondaryChannels + 3) / 4;
    Layout made = rowsLayout(w, r.startY, r.width, r.height, pass.secondaries[0], slices, centred);
    made.termTexels = slices * r.width * r.height;
    if (made.separate) made.termRowTexels = slices * pass.clip.width * r.height;
    return made;
}

Parameters parametersOf(const LocalNormalizationValues& v, const MPS::KernelWindow& w,
                        const Clip& clip, const Layout& layout, MPS::ImageEdgeMode edgeMode) {
    const SplitBeta beta(v.beta);
    const double area = double(w.width) * double(w.height);
    Parameters p{};
    p.clipX = int(clip.x);
    p.clipY = int(clip.y);
    p.clipWidth = uint32_t(clip.width);
    p.clipHeight = uint32_t(clip.height);
    p.kernelWidth = int(w.width);
    p.kernelHeight = int(w.height);
    p.firstRow = layout.firstRow;
    p.rows = uint32_t(layout.rows);
    p.clampEdges = edgeMode == MPS::ImageEdgeMode::Clamp;
    p.alpha = v.alpha;
    p.delta = v.delta;
    p.betaWhole = beta.whole;
    p.betaQuarters = beta.quarters;
    p.betaRest = beta.rest;
    p.p0 = v.p0;
    p.pm = v.pm;
    p.ps = v.ps;
    p.share = float(v.p0 / area);
    p.slope = float(2.0 * v.alpha * v.beta / area);
    return p;
}

} // namespace

void WindowNormalization::checkScratch(const std::string& who, const UnaryPass& pass) const {
    mps::checkScratch(who, pass.sources[0].device(), forwardLayout(pass, centred).bytesPerImage());
}

void WindowNormalization::encode(const UnaryPass& pass) const {
    const Layout layout = forwardLayout(pass, centred);
    Parameters p = parametersOf(values, pass.window, pass.clip, layout, pass.edgeMode);
    p.startX = int(pass.offset.x);
    p.startY = int(pass.offset.y);
    p.resultsX = p.clipWidth;
    p.resultsY = p.clipHeight;
    const uint64_t atOnce = layout.separate
                                ? imagesAtOnce(pass.encoder->limits(), layout.bytesPerImage())
                                : pass.imageCount;
    for (uint64_t first = 0; first < pass.imageCount; first += atOnce) {
        p.images = uint32_t(std::min(atOnce, pass.imageCount - first));
        p.source = from(pass.sourceView, first);
        p.destination = from(pass.destinationView, first);
        std::shared_ptr<const vk::BufferSlice> rows;
        if (layout.separate) {
            p.rowPlane = uint32_t(layout.rowTexels * p.images);
            rows = pass.encoder->scratch(16 * layout.rowPlanes * p.rowPlane);
            pass.encoder->dispatch("CNNNormalizationRows", p, Grid::of(p.rowPlane),
                                   {{1, pass.source}, {4, *rows}},
                                   {constant(32, uint32_t(centred))});
        }
        pass.encoder->dispatch(
            "CNNNormalization", p, Grid::of(pass.clipTexels() / pass.imageCount * p.images),
            {{1, pass.source}, {3, pass.destination}, {4, rows ? *rows : vk::BufferSlice{}}},
            {constant(32, uint32_t(centred)), constant(33, uint32_t(layout.separate))});
    }
}

void WindowNormalization::checkScratch(const std::string& who, const BinaryPass& pass,
                                       const MPS::KernelWindow& window,
                                       const ForwardResults& results) const {
    mps::checkScratch(who, pass.primaries[0].device(),
                      gradientLayout(pass, window, results, centred).bytesPerImage());
}

void WindowNormalization::encodeGradient(const BinaryPass& pass, const MPS::KernelWindow& window,
                                         const ForwardResults& results, const MPS::Offset& origin,
                                         MPS::ImageEdgeMode edgeMode) const {
    const Layout layout = gradientLayout(pass, window, results, centred);
    Parameters p = parametersOf(values, window, pass.clip, layout, edgeMode);
    p.originX = int(origin.x);
    p.originY = int(origin.y);
    p.startX = int(results.startX);
    p.startY = int(results.startY);
    p.gradientX = int(results.gradientX);
    p.gradientY = int(results.gradientY);
    p.resultsX = uint32_t(results.width);
    p.resultsY = uint32_t(results.height);
    Encoder& encoder = *pass.encoder;
    const auto isCentred = constant(32, uint32_t(centred)),
               isSeparate = constant(33, uint32_t(layout.separate));
    const uint64_t atOnce = imagesAtOnce(encoder.limits(), layout.bytesPerImage());
    for (uint64_t first = 0; first < pass.imageCount; first += atOnce) {
        p.images = uint32_t(std::min(atOnce, pass.imageCount - first));
        p.gradient = from(pass.primaryView, first);
        p.source = from(pass.secondaryView, first);
        p.destination = from(pass.destinationView, first);
        const auto planes = [&](uint64_t texels, uint64_t count) {
            return encoder.scratch(std::max<uint64_t>(16, 16 * texels * count));
        };
        p.termPlane = uint32_t(layout.termTexels * p.images);
        const auto terms = planes(p.termPlane, layout.termPlanes);
        std::shared_ptr<const vk::BufferSlice> rows;
        if (layout.separate) {
            p.rowPlane = uint32_t(layout.rowTexels * p.images);
            rows = planes(p.rowPlane, layout.rowPlanes);
            encoder.dispatch("CNNNormalizationRows", p, Grid::of(p.rowPlane),
                             {{1, pass.secondary}, {4, *rows}}, {isCentred});
        }
        const auto rowSums = [&] { return rows ? *rows : vk::BufferSlice{}; };
        encoder.dispatch("CNNNormalizationGradientTerms", p, Grid::of(p.termPlane),
                         {{1, pass.secondary}, {2, pass.primary}, {4, rowSums()}, {5, *terms}},
                         {isCentred, isSeparate});
        if (layout.separate) {
            p.rowPlane = uint32_t(layout.termRowTexels * p.images);
            rows.reset();
            rows = planes(p.rowPlane, layout.rowPlanes);
            encoder.dispatch("CNNNormalizationGradientRows", p, Grid::of(p.rowPlane),
                             {{1, pass.secondary}, {4, *rows}, {5, *terms}}, {isCentred});
        }
        encoder.dispatch("CNNNormalizationGradient", p,
                         Grid::of(pass.clipTexels() / pass.imageCount * p.images),
                         {{1, pass.secondary}, {3, pass.destination}, {4, rowSums()}, {5, *terms}},
                         {isCentred, isSeparate});
    }
}

} // namespace mpsvk::mps
