// Workgroups that walk down the rows: which columns and rows they have, and normalizations by them.
#include "mps/WindowStream.hpp"

#include "mps/LocalNormalizationKernels.hpp"

#include <catch2/catch_test_macros.hpp>

#include <algorithm>

using namespace mpsvk;
using namespace mpsvk::test;
using mpsvk::mps::WindowStream;

namespace {

vk::Limits limits(vk::Architecture architecture = vk::Architecture::Nvidia) {
    vk::Limits made;
    made.workGroupInvocations = 1024;
    made.sharedMemoryBytes = 49152;
    made.processor.architecture = architecture;
    made.processor.multiprocessors = 132;
    return made;
}

/// A gradient with respect to all pixels, of windows that are centred on each of them.
WindowStream::Shape gradientShape(uint64_t size, uint64_t taps, bool centred,
                                  uint64_t bytesPerTexel = 16) {
    const WindowStream::Axis axis{0, size, taps, taps - 1, taps - 1, 0, int64_t(size)};
    return {axis, axis, 16, 64, bytesPerTexel, centred, true};
}

/// Times that a pixel of the source is read, the incoming gradient read and the result written,
/// over three.
double traffic(const WindowStream& stream, const WindowStream::Shape& shape) {
    const auto read = [](const WindowStream::Axis& axis, uint64_t part, int64_t reach) {
        const auto end = axis.first + int64_t(axis.results);
        int64_t pixels = 0;
        for (int64_t from = axis.first; from < end; from += int64_t(part))
            pixels += std::min(axis.end, std::min(from + int64_t(part), end) + reach) -
                      std::max(axis.lowest, from - reach);
        return double(pixels) / double(axis.results);
    };
    const auto both = [&](int64_t times) {
        const auto reach = [&](const WindowStream::Axis& axis) {
            return times * int64_t(axis.taps) / 2;
        };
        return read(shape.columns, stream.stripColumns, reach(shape.columns)) *
               read(shape.rows, stream.segmentRows, reach(shape.rows));
    };
    return (both(2) + both(1) + 1) / 3;
}

} // namespace

TEST_CASE("a strip is as wide as the image where a workgroup has so many columns") {
    struct Case {
        uint64_t size, taps, bytesPerTexel;
        bool centred;
        uint32_t invocations, slicesTogether, rowsEach, strips, segments;
    };
    const Case cases[] = {
        {56, 5, 16, false, 224, 4, 2, 1, 1},  {56, 5, 8, false, 224, 4, 2, 1, 1},
        {56, 9, 16, true, 224, 4, 1, 1, 1},   {56, 9, 8, true, 224, 4, 1, 1, 1},
        {112, 3, 16, false, 224, 2, 2, 1, 1}, {28, 3, 8, true, 224, 8, 2, 1, 2},
        {224, 9, 16, false, 240, 2, 1, 2, 1},
    };
    for (const Case& c : cases) {
        INFO(c.size << "x" << c.size << ", " << c.taps << " taps, " << c.bytesPerTexel << " bytes");
        const auto shape = gradientShape(c.size, c.taps, c.centred, c.bytesPerTexel);
        const auto stream = WindowStream::of(limits(), shape);
        REQUIRE(stream);
        CHECK(stream->invocations == c.invocations);
        CHECK(stream->slicesTogether == c.slicesTogether);
        CHECK(stream->rowsEach == c.rowsEach);
        CHECK(stream->strips == c.strips);
        CHECK(stream->segments == c.segments);
        CHECK(uint64_t(stream->strips) * stream->stripColumns >= c.size);
        CHECK(uint64_t(stream->strips - 1) * stream->stripColumns < c.size);
        CHECK(traffic(*stream, shape) <= 1.1);
    }
}

TEST_CASE("rows are divided where there are too few images for the device") {
    auto shape = gradientShape(56, 5, false);
    shape.images = 1;
    const auto one = WindowStream::of(limits(), shape);
    REQUIRE(one);
    CHECK(one->segments == 7);
    CHECK(one->segmentRows == 8); // no fewer than the rows that are read beside them
    shape.images = 32;
    const auto some = WindowStream::of(limits(), shape);
    REQUIRE(some);
    CHECK(some->segments == 2);
}

TEST_CASE("windows that do not fit in registers or in a workgroup are not walked over") {
    CHECK(WindowStream::of(limits(), gradientShape(56, 11, true)));
    CHECK_FALSE(WindowStream::of(limits(), gradientShape(56, 12, true)));
    CHECK_FALSE(WindowStream::of(limits(), gradientShape(56, 21, false)));
    CHECK_FALSE(WindowStream::of(limits(vk::Architecture::Mali), gradientShape(56, 3, false)));
    auto wide = gradientShape(1000, 3, false);
    CHECK(WindowStream::of(limits(), wide));
    wide.columns.taps = 101;
    wide.columns.before = wide.columns.after = 100;
    CHECK_FALSE(WindowStream::of(limits(), wide));
    vk::Limits small = limits();
    small.workGroupInvocations = 128;
    const auto stream = WindowStream::of(small, gradientShape(112, 5, true));
    REQUIRE(stream);
    CHECK(stream->invocations <= 128);
}

TEST_CASE("strips and segments of an image are normalized as the reference does it") {
    struct Case {
        size_t kw, kh, width, height, channels;
        std::ptrdiff_t ox, oy;
    };
    const Case cases[] = {{5, 3, 150, 19, 9, 0, 0}, {4, 4, 270, 26, 3, -1, 2}};
    for (const NormalizationType type :
         {NormalizationType::Spatial, NormalizationType::LocalContrast})
        for (const Case& c : cases)
            for (const auto edge : {reference::EdgeMode::Zero, reference::EdgeMode::Clamp}) {
                INFO("type " << int(type) << ", " << c.kw << "x" << c.kh << " in " << c.width << "x"
                             << c.height);
                Normalization k{type, c.kw, c.kh, 1.5, .75, .75, .875, .25, 2};
                k.edge = edge;
                k.offsetX = c.ox, k.offsetY = c.oy;
                k.outputWidth = c.width, k.outputHeight = c.height;
                const Tensor x = reference::random(1, c.height, c.width, c.channels, 21, -2, 2);
                const Tensor g = reference::randomLike(x, 22);
                const PairResult actual = both(k, upload(x), upload(g), {}, true);
                CHECK(reference::compare(actual.y, forward(k, x)));
                CHECK(reference::compare(actual.dx, gradient(k, g, x)));
            }
}

TEST_CASE("what is normalized depends neither on the strip nor on the segment") {
    for (const NormalizationType type :
         {NormalizationType::Spatial, NormalizationType::LocalContrast}) {
        INFO("type " << int(type));
        Normalization k{type, 3, 4, 1.5, .75, .75, .875, .25, 2};
        const auto slopes = [&](const Tensor& x, const Tensor& g) {
            k.outputWidth = x.w, k.outputHeight = x.h;
            return both(k, upload(x), upload(g), {}, true);
        };
        const Tensor x = reference::random(300, 33, 5, 4, 23), g = reference::randomLike(x, 24);
        const PairResult many = slopes(x, g);
        const PairResult one = slopes(reference::image(x, 7), reference::image(g, 7));
        CHECK(reference::image(many.y, 7).v == one.y.v);
        CHECK(reference::image(many.dx, 7).v == one.dx.v);

        const Tensor wide = reference::random(1, 9, 300, 4, 25);
        const PairResult whole = slopes(wide, wide);
        const Tensor part = reference::crop(wide, {100, 0, 60, 9});
        const PairResult some = slopes(part, part);
        const reference::Region inner{3, 0, 54, 9}; // whose windows' windows lie in the part
        CHECK(reference::crop(reference::crop(whole.y, {100, 0, 60, 9}), inner).v ==
              reference::crop(some.y, inner).v);
        const reference::Region innermost{6, 0, 48, 9};
        CHECK(reference::crop(reference::crop(whole.dx, {100, 0, 60, 9}), innermost).v ==
              reference::crop(some.dx, innermost).v);
    }
}
