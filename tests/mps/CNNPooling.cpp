#include "mps/KernelPairs.hpp"
#include "mps/PoolingKernels.hpp"
#include "support/Conformance.hpp"
#include "support/GradientCheck.hpp"

#include <catch2/catch_test_macros.hpp>

#include <array>
#include <cmath>
#include <limits>

using namespace mpsvk;
using namespace mpsvk::test;

namespace {

constexpr From everyWay[] = {From::Properties, From::GivenState, From::ReturnedState};

struct Case {
    const char* name;
    size_t kw, kh, sx, sy, dx, dy, pad;
    std::ptrdiff_t ox, oy;
    size_t ow, oh; // of the result for a source of 7 x 6
};

const Case cases[] = {
    {"2x2 stride 2", 2, 2, 2, 2, 1, 1, 0, 1, 1, 3, 3},
    {"3x3 stride 1", 3, 3, 1, 1, 1, 1, 1, 0, 0, 7, 6},
    {"3x2 stride 2x1, hanging out", 3, 2, 2, 1, 1, 1, 0, -1, 0, 6, 8},
    {"windows outside altogether", 2, 3, 3, 2, 1, 1, 2, -4, -3, 6, 7},
    {"windows beyond the far edges", 2, 3, 1, 2, 1, 1, 1, 9, 8, 3, 2},
    {"gaps between windows, from the middle", 2, 1, 3, 4, 1, 1, 0, 3, 2, 2, 1},
    {"dilated 2x3", 2, 3, 1, 2, 3, 2, 0, 0, 1, 8, 4},
};

Pooling poolingOf(const Case& k, PoolingType type, reference::EdgeMode edge) {
    Pooling p{type, k.kw, k.kh, k.sx, k.sy, k.dx, k.dy};
    if (type == PoolingType::Average) p.zeroPadX = k.pad, p.zeroPadY = k.pad ? k.pad - 1 : 0;
    p.offsetX = k.ox, p.offsetY = k.oy;
    p.edge = edge;
    p.outputWidth = k.ow, p.outputHeight = k.oh;
    return p;
}

template <class Visit> void forEachPooling(Visit visit) {
    for (const Case& k : cases)
        for (const PoolingType type : {PoolingType::Max, PoolingType::Average, PoolingType::L2Norm})
            for (const auto edge : {reference::EdgeMode::Zero, reference::EdgeMode::Clamp}) {
                if (type != PoolingType::Max && (k.dx > 1 || k.dy > 1)) continue;
                INFO(k.name << ", type " << int(type) << ", "
                            << (edge == reference::EdgeMode::Clamp ? "Clamp" : "Zero"));
                visit(poolingOf(k, type, edge));
            }
}

} // namespace

TEST_CASE("pooling and its gradient equal the reference in every geometry and storage") {
    size_t turn = 0;
    for (const Variant variant : variants()) {
        INFO(variant.name());
        forEachPooling([&](const Pooling& k) {
            const size_t channels = std::array{1, 3, 4, 5, 8, 33}[turn++ % 6];
            // Small whole numbers, so that there are ties.
            Tensor x = reference::random(2, 6, 7, channels, 1 + turn, -3, 3);
            if (k.type == PoolingType::Max)
                for (double& v : x.v) v = std::round(v);
            x = reference::rounded(x, variant.rounding());
            const Tensor g = reference::rounded(
                reference::random(2, k.outputHeight, k.outputWidth, channels, 2 + turn),
                variant.rounding());
            const auto source = upload(x, variant), dy = upload(g, variant);
            const Tensor y = forward(k, x), dx = gradient(k, g, x);
            for (const From from : everyWay) {
                INFO(channels << " channels, way " << int(from));
                const Result actual = both(k, source, dy, x, variant, from);
                CHECK(reference::compare(actual.y, y, {variant.tolerance()}));
                CHECK(reference::compare(actual.dx, dx, {variant.tolerance()}));
            }
            const std::string name = forwardOf(k)->className();
            conforms(name, Aspect::Forward, variant);
            conforms(name + "Gradient", Aspect::Gradient, variant);
        });
    }
}

TEST_CASE("pooling of a batch does not depend on where its images lie") {
    const Pooling max = poolingOf(cases[2], PoolingType::Max, reference::EdgeMode::Zero);
    const Pooling average = poolingOf(cases[2], PoolingType::Average, reference::EdgeMode::Clamp);
    for (const Pooling& k : {max, average}) {
        const Tensor x = reference::random(5, 6, 7, 5, 3);
        const Tensor g = reference::random(5, k.outputHeight, k.outputWidth, 5, 4);
        const Result together = both(k, upload(x), upload(g), x, {}, From::ReturnedState);
        const Result apart = both(k, uploadApart(x), uploadApart(g), x, {}, From::ReturnedState);
        const Result again = both(k, upload(x), upload(g), x, {}, From::ReturnedState);
        CHECK(together.y.v == apart.y.v);
        CHECK(together.dx.v == apart.dx.v);
        CHECK(together.dx.v == again.dx.v);
        CHECK(together.dx.v == both(k, upload(x), upload(g), x, {}, From::Properties).dx.v);
    }
}

TEST_CASE("maxima of windows two pixels apart go back in blocks, wherever these begin") {
    size_t turn = 0;
    for (const size_t kw : {1, 2, 3, 5})
        for (const size_t kh : {2, 3})
            for (const std::ptrdiff_t offset : {-3, 0, 1, 2, 4})
                for (const auto edge : {reference::EdgeMode::Zero, reference::EdgeMode::Clamp}) {
                    INFO(kw << "x" << kh << " offset " << offset << " edge " << int(edge));
                    Pooling k{PoolingType::Max, kw, kh, 2, 2};
                    k.offsetX = offset, k.offsetY = 1 - offset, k.edge = edge;
                    k.outputWidth = 4 + turn % 2, k.outputHeight = 4;
                    Tensor x = reference::random(2, 6, 7 + turn % 2, 5, 1 + turn, -3, 3);
                    for (double& v : x.v) v = std::round(v);
                    const Tensor g =
                        reference::random(2, k.outputHeight, k.outputWidth, 5, 2 + turn++);
                    const Result saved = both(k, upload(x), upload(g), x, {}, From::ReturnedState);
                    CHECK(reference::compare(saved.dx, gradient(k, g, x), {1e-6}));
                }
}

TEST_CASE("blocks of a max pooling's gradient end at the clip rectangle") {
    Pooling k{PoolingType::Max, 3, 3, 2, 2};
    k.outputWidth = 4, k.outputHeight = 3;
    const Tensor x = reference::distinct(1, 6, 7, 5, 3), g = reference::random(1, 3, 4, 5, 4);
    for (const size_t left : {0, 1, 2})
        for (const size_t width : {1, 2, 3, 5}) {
            INFO("from " << left << ", " << width << " wide");
            const auto pool = forwardOf(k);
            const auto back = gradientOf(k);
            pool->setOffset({0, 0, 0});
            back->setSecondaryOffset({0, 0, 0});
            back->setClipRect(MTL::RegionMake2D(left, 1, width, 4));
            Guarded y(1, 3, 4, 5), dx(1, 6, 9, 5);
            run([&](const MTL::CommandBuffer& commands) {
                const auto source = upload(x);
                const auto states =
                    encodeWithState(commands, *pool, source, y.images(), StateIs::Returned);
                back->encodeBatch(commands, upload(g), source, states, dx.images());
            });
            // The rectangle's first pixel stands for the first one that a window reads.
            Tensor expected(1, 6, 9, 5, Guarded::poison);
            reference::paste(expected, {std::ptrdiff_t(left), 1}, 0,
                             reference::crop(gradient(k, g, x), {0, 0, width, 4}));
            CHECK(reference::compare(dx.read(), expected, {1e-6}));
        }
}

TEST_CASE("windows too large for the state to keep a position are searched again") {
    Pooling k{PoolingType::Max, 16, 16, 3, 2};
    k.offsetX = 2, k.offsetY = 3, k.outputWidth = 3, k.outputHeight = 2;
    const Tensor x = reference::distinct(2, 6, 7, 5, 15, .5, 2),
                 g = reference::random(2, 2, 3, 5, 16);
    k.edge = reference::EdgeMode::Clamp;
    const Result actual = both(k, upload(x), upload(g), x, {}, From::ReturnedState);
    CHECK(reference::compare(actual.y, forward(k, x)));
    CHECK(reference::compare(actual.dx, gradient(k, g, x)));
}

TEST_CASE("pooling of one row gives the documented numbers") {
    struct Line {
        PoolingType type;
        reference::EdgeMode edge;
        size_t pad;
        std::vector<double> x, g, y, dx;
    };
    const std::vector<double> ramp{1, 2, 3, 4, 5}, peaks{-3, -1, -1, 4, 2}, powers{1, 10, 100};
    const auto zero = reference::EdgeMode::Zero, clamp = reference::EdgeMode::Clamp;
    const Line lines[] = {
        {PoolingType::Average,
         zero,
         0,
         ramp,
         powers,
         {1, 3, 3},
         {1 / 3., 11 / 3., 10 / 3., 110 / 3., 100 / 3.}},
        {PoolingType::Average,
         clamp,
         0,
         ramp,
         powers,
         {1.5, 3, 4.5},
         {.5, 3.833333, 3.333333, 53.33333, 50}},
        {PoolingType::Average,
         clamp,
         1,
         ramp,
         powers,
         {1, 3, 3},
         {1 / 3., 11 / 3., 10 / 3., 110 / 3., 100 / 3.}},
        {PoolingType::Max, zero, 0, peaks, powers, {0, 4, 4}, {0, 0, 0, 110, 0}},
        {PoolingType::Max, clamp, 0, peaks, powers, {-1, 4, 4}, {0, 1, 0, 110, 0}},
        {PoolingType::L2Norm,
         zero,
         0,
         ramp,
         {1, 1, 1},
         {2.23607, 5.38516, 6.40312},
         {.447214, 1.26582, .557086, 1.36748, .780869}},
    };
    for (const Line& line : lines) { // given with six digits
        INFO("type " << int(line.type) << " pad " << line.pad);
        Pooling k{line.type, 3, 1, 2, 1};
        k.edge = line.edge;
        k.zeroPadX = line.pad;
        k.outputWidth = 3;
        const Tensor x = row(line.x);
        for (const From from : everyWay) {
            const Result actual = both(k, upload(x), upload(row(line.g)), x, {}, from);
            CHECK(reference::compare(actual.y, row(line.y), {4e-6}));
            CHECK(reference::compare(actual.dx, row(line.dx), {4e-6}));
        }
    }
    Pooling even{PoolingType::Max, 2, 1, 2, 1};
    even.offsetX = 1, even.edge = clamp, even.outputWidth = 2;
    const Result a =
        both(even, upload(row(peaks)), upload(row({1, 10})), row(peaks), {}, From::ReturnedState);
    CHECK(a.y.v == std::vector<double>{-1, 4});
    CHECK(a.dx.v == std::vector<double>{0, 1, 0, 10, 0});
    Pooling apart{PoolingType::Max, 2, 1, 1, 1, 3, 1};
    apart.offsetX = 2, apart.edge = clamp, apart.outputWidth = 2;
    const Tensor x = row({1, 5, 2, 7, 3, 9});
    const Result b = both(apart, upload(x), upload(row({1, 10})), x, {}, From::ReturnedState);
    CHECK(b.y.v == std::vector<double>{7, 5});
    CHECK(b.dx.v == std::vector<double>{0, 10, 0, 1, 0, 0});
}

TEST_CASE("max pooling passes over NaN unless there is nothing else") {
    const double nan = std::numeric_limits<double>::quiet_NaN(),
                 infinity = std::numeric_limits<double>::infinity();
    Pooling k{PoolingType::Max, 2, 1, 2, 1};
    k.offsetX = 1, k.edge = reference::EdgeMode::Clamp, k.outputWidth = 5;
    const Tensor x = row({nan, -2, 3, nan, nan, nan, -infinity, nan, -infinity, infinity});
    for (const From from : everyWay) {
        const Result actual = both(k, upload(x), upload(row({1, 2, 3, 4, 5})), x, {}, from);
        CHECK(actual.y.v[0] == -2);
        CHECK(actual.y.v[1] == 3);
        CHECK(std::isnan(actual.y.v[2]));
        CHECK(actual.y.v[3] == -infinity);
        CHECK(actual.y.v[4] == infinity);
        CHECK(actual.dx.v == std::vector<double>{0, 1, 2, 0, 0, 0, 4, 0, 0, 5});
    }
}

TEST_CASE("pooling gradients are the slopes of the poolings between two neurons") {
    for (const PoolingType type : {PoolingType::Max, PoolingType::Average, PoolingType::L2Norm}) {
        INFO("type " << int(type));
        Pooling k = poolingOf(cases[2], type, reference::EdgeMode::Clamp);
        const Tensor x = reference::distinct(1, 6, 7, 3, 13, 0.2, 2.2);
        const Tensor cotangent = reference::random(1, k.outputHeight, k.outputWidth, 3, 14);
        const KernelPair pair{forwardOf(k), gradientOf(k)};
        reference::GradientCheckOptions options;
        options.step = 4e-3;
        options.tolerance = 4e-3;
        options.samples = 20;
        CHECK(checkBetweenNeurons(pair, x, cotangent, options));
    }
}
