#include "mps/WindowNormalization.hpp"

#include "CNNNormalization.h"
#include "geometry.h"
#include "mps/PassChecks.hpp"
#include "mps/WindowStream.hpp"

#include <algorithm>

namespace mpsvk::mps {

namespace {

using Parameters = glsl::CNNNormalizationParameters;
using Geometry = WindowNormalization::Geometry;

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
                      pass.sources[0], slicesFor(pass.sourceChannels), centred);
}

Layout gradientLayout(const BinaryPass& pass, const Geometry& g, bool centred) {
    const ForwardResults& r = g.results;
    const uint64_t slices = slicesFor(pass.secondaryChannels);
    Layout made =
        rowsLayout(g.window, r.startY, r.width, r.height, pass.secondaries[0], slices, centred);
    made.termTexels = slices * r.width * r.height;
    if (made.separate) made.termRowTexels = slices * pass.clip.width * r.height;
    return made;
}

/// Both axes of a walk over the clip rectangle, whose first pixel is that of the source at x, y.
WindowStream::Shape streamShape(const Clip& clip, int64_t x, int64_t y, const MPS::KernelWindow& w,
                                const MPS::Image& source, uint64_t channels, uint64_t images) {
    const auto axis = [](int64_t first, uint64_t results, uint64_t taps, uint64_t size) {
        return WindowStream::Axis{first, results, taps, taps / 2, (taps - 1) / 2, 0, int64_t(size)};
    };
    WindowStream::Shape made{};
    made.columns = axis(x, clip.width, w.width, source.width());
    made.rows = axis(y, clip.height, w.height, source.height());
    made.slices = slicesFor(channels);
    made.images = images;
    const ImageStorage& storage = *source.impl().storage;
    made.bytesPerTexel = storage.shape().texture ? 16 : storage.bytesPerTexel();
    return made;
}

std::optional<WindowStream> forwardStream(const UnaryPass& pass, bool centred) {
    WindowStream::Shape shape =
        streamShape(pass.clip, pass.offset.x, pass.offset.y, pass.window, pass.sources[0],
                    pass.destinationChannels, pass.imageCount);
    shape.centred = centred;
    for (WindowStream::Axis* axis : {&shape.columns, &shape.rows}) {
        if (pass.edgeMode != MPS::ImageEdgeMode::Clamp) continue;
        axis->lowest = axis->first - int64_t(axis->before);
        axis->end = axis->first + int64_t(axis->results + axis->after);
    }
    return WindowStream::of(*pass.sources[0].device().impl().vk, shape);
}

std::optional<WindowStream> gradientStream(const BinaryPass& pass, const Geometry& g,
                                           bool centred) {
    if (g.results.width * g.results.height == 0) return {};
    WindowStream::Shape shape =
        streamShape(pass.clip, g.origin.x, g.origin.y, g.window, pass.secondaries[0],
                    pass.destinationChannels, pass.imageCount);
    shape.centred = centred;
    shape.gradient = true;
    const bool clamps = g.edgeMode == MPS::ImageEdgeMode::Clamp;
    const auto reach = [&](WindowStream::Axis& axis, int64_t start, uint64_t count) {
        const int64_t size = axis.end, end = axis.first + int64_t(axis.results);
        const auto halo = int64_t(axis.taps - 1);
        const int64_t before = clamps ? int64_t(axis.before) : 0;
        const int64_t after = clamps ? int64_t(axis.after) : 0;
        axis.before = axis.after = uint64_t(halo);
        axis.lowest = std::min<int64_t>(0, start - before);
        axis.end = std::max(size, start + int64_t(count) + after);
        // What lies beyond an edge is added up by the workgroup that has the edge.
        return !clamps ||
               (axis.first >= 0 && end <= size && axis.lowest >= -halo && axis.end <= size + halo);
    };
    if (!reach(shape.columns, g.results.startX, g.results.width) ||
        !reach(shape.rows, g.results.startY, g.results.height))
        return {};
    return WindowStream::of(*pass.secondaries[0].device().impl().vk, shape);
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

void dispatchStream(Encoder& encoder, const char* shader, const WindowStream& stream, Parameters p,
                    bool centred, bool wholeTexels, std::initializer_list<Operand> operands) {
    p.blocks = stream.blocks;
    p.strips = stream.strips;
    p.segments = stream.segments;
    p.stripColumns = stream.stripColumns;
    p.segmentRows = stream.segmentRows;
    p.lowestColumn = stream.lowestColumn;
    p.lowestRow = stream.lowestRow;
    p.endRow = stream.endRow;
    Grid grid = stream.grid(p.images);
    grid.wholeTexels = wholeTexels;
    encoder.dispatch(shader, p, grid, operands,
                     {constant(32, stream.invocations), constant(33, stream.slicesTogether),
                      constant(34, uint32_t(p.kernelWidth)), constant(35, uint32_t(p.kernelHeight)),
                      constant(36, p.betaWhole), constant(37, p.betaQuarters),
                      constant(38, uint32_t(centred)), constant(39, stream.rowsEach)});
}

} // namespace

void WindowNormalization::checkScratch(const std::string& who, const UnaryPass& pass) const {
    if (forwardStream(pass, centred)) return;
    mps::checkScratch(who, pass.sources[0].device(), forwardLayout(pass, centred).bytesPerImage());
}

void WindowNormalization::encode(const UnaryPass& pass) const {
    const auto stream = forwardStream(pass, centred);
    const Layout layout = stream ? Layout{} : forwardLayout(pass, centred);
    Parameters p = parametersOf(values, pass.window, pass.clip, layout, pass.edgeMode);
    p.startX = int(pass.offset.x);
    p.startY = int(pass.offset.y);
    p.resultsX = p.clipWidth;
    p.resultsY = p.clipHeight;
    if (stream) {
        p.originX = p.startX;
        p.originY = p.startY;
        p.images = uint32_t(pass.imageCount);
        p.source = pass.sourceView;
        p.destination = pass.destinationView;
        dispatchStream(*pass.encoder, "CNNNormalizationStream", *stream, p, centred,
                       pass.hasWholeTexels(), {{1, pass.source}, {3, pass.destination}});
        return;
    }
    const uint64_t atOnce = layout.separate
                                ? imagesAtOnce(pass.encoder->limits(), layout.bytesPerImage())
                                : pass.imageCount;
    for (uint64_t first = 0; first < pass.imageCount; first += atOnce) {
        p.images = uint32_t(std::min(atOnce, pass.imageCount - first));
        p.source = imagesFrom(pass.sourceView, first);
        p.destination = imagesFrom(pass.destinationView, first);
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
                                       const Geometry& g) const {
    if (gradientStream(pass, g, centred)) return;
    mps::checkScratch(who, pass.primaries[0].device(),
                      gradientLayout(pass, g, centred).bytesPerImage());
}

void WindowNormalization::encodeGradient(const BinaryPass& pass, const Geometry& g) const {
    const auto stream = gradientStream(pass, g, centred);
    const Layout layout = stream ? Layout{} : gradientLayout(pass, g, centred);
    Parameters p = parametersOf(values, g.window, pass.clip, layout, g.edgeMode);
    p.originX = int(g.origin.x);
    p.originY = int(g.origin.y);
    p.startX = int(g.results.startX);
    p.startY = int(g.results.startY);
    p.gradientX = int(g.results.gradientX);
    p.gradientY = int(g.results.gradientY);
    p.resultsX = uint32_t(g.results.width);
    p.resultsY = uint32_t(g.results.height);
    if (stream) {
        p.images = uint32_t(pass.imageCount);
        p.source = pass.secondaryView;
        p.gradient = pass.primaryView;
        p.destination = pass.destinationView;
        dispatchStream(*pass.encoder, "CNNNormalizationGradientStream", *stream, p, centred,
                       pass.hasWholeTexels(),
                       {{1, pass.secondary}, {2, pass.primary}, {3, pass.destination}});
        return;
    }
    Encoder& encoder = *pass.encoder;
    const auto isCentred = constant(32, uint32_t(centred)),
               isSeparate = constant(33, uint32_t(layout.separate));
    const uint64_t atOnce = imagesAtOnce(encoder.limits(), layout.bytesPerImage());
    for (uint64_t first = 0; first < pass.imageCount; first += atOnce) {
        p.images = uint32_t(std::min(atOnce, pass.imageCount - first));
        p.gradient = imagesFrom(pass.primaryView, first);
        p.source = imagesFrom(pass.secondaryView, first);
        p.destination = imagesFrom(pass.destinationView, first);
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
