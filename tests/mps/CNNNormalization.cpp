#include "mps/LocalNormalizationKernels.hpp"

#include "support/Conformance.hpp"

#include <catch2/catch_test_macros.hpp>

#include <array>
#include <cmath>

using namespace mpsvk;
using namespace mpsvk::test;

namespace {

struct Case {
    const char* name;
    size_t kw, kh;
    double beta;
    std::ptrdiff_t ox, oy;
    size_t ow, oh; // of the result for a source of 7 x 6
};

const Case cases[] = {
    {"3x3", 3, 3, .75, 0, 0, 7, 6},
    {"even, 2x4", 2, 4, .5, 0, 0, 7, 6},
    {"1x1", 1, 1, 5, 0, 0, 7, 6},
    {"5x2, hanging out", 5, 2, 1.25, -2, -1, 10, 9},
    {"3x1, a part of the source", 3, 1, 1, 2, 1, 3, 4},
    {"far outside", 3, 4, .3, -4, -3, 6, 5},
    {"rows and columns apart, 9x7", 9, 7, .75, 0, 0, 7, 6},
    {"rows and columns apart, 4x16, shifted", 4, 16, 2, 1, -3, 8, 5},
};

Normalization normalizationOf(const Case& k, NormalizationType type, reference::EdgeMode edge) {
    Normalization made{type, k.kw, k.kh, 1.5, k.beta, .75, .875, .25, 2};
    made.offsetX = k.ox, made.offsetY = k.oy;
    made.edge = edge;
    made.outputWidth = k.ow, made.outputHeight = k.oh;
    return made;
}

const auto zero = reference::EdgeMode::Zero, clamp = reference::EdgeMode::Clamp;
const NormalizationType types[] = {NormalizationType::Spatial, NormalizationType::LocalContrast,
                                   NormalizationType::CrossChannel};

} // namespace

TEST_CASE("normalizations and their gradients equal the reference in every geometry and storage") {
    size_t turn = 0;
    for (const Variant variant : variants())
        for (const Case& each : cases)
            for (const NormalizationType type : types)
                for (const auto edge : {zero, clamp}) {
                    const size_t channels = std::array{1, 3, 4, 5, 8, 18}[turn++ % 6];
                    INFO(variant.name()
                         << ", " << each.name << ", type " << int(type) << ", "
                         << (edge == clamp ? "Clamp, " : "Zero, ") << channels << " channels");
                    const Normalization k = normalizationOf(each, type, edge);
                    const Tensor x = reference::rounded(
                        reference::random(2, 6, 7, channels, turn, -2, 2), variant.rounding());
                    const Tensor g = reference::rounded(
                        reference::random(2, k.outputHeight, k.outputWidth, channels, 1000 + turn),
                        variant.rounding());
                    const auto source = upload(x, variant), dy = upload(g, variant);
                    const Tensor y = forward(k, x), dx = gradient(k, g, x);
                    for (const bool takesAll : {false, true}) {
                        INFO("taking all from the state: " << takesAll);
                        const PairResult actual = both(k, source, dy, variant, takesAll);
                        CHECK(reference::compare(actual.y, y, {variant.tolerance()}));
                        CHECK(reference::compare(actual.dx, dx, {variant.tolerance()}));
                    }
                    const std::string name = pairOf(k, false).forward->className();
                    conforms(name, Aspect::Forward, variant);
                    conforms(name + "Gradient", Aspect::Gradient, variant);
                }
}

TEST_CASE("a normalization of a batch does not depend on where its images lie") {
    for (const NormalizationType type : types)
        for (const size_t which : {3, 6}) {
            INFO("type " << int(type) << ", " << cases[which].name);
            const Normalization k = normalizationOf(cases[which], type, clamp);
            const Tensor x = reference::random(5, 6, 7, 9, 3);
            const Tensor g = reference::random(5, k.outputHeight, k.outputWidth, 9, 4);
            const PairResult together = both(k, upload(x), upload(g), {}, true);
            const PairResult apart = both(k, uploadApart(x), uploadApart(g), {}, true);
            const PairResult again = both(k, upload(x), upload(g), {}, true);
            const PairResult one =
                both(k, upload(reference::image(x, 3)), upload(reference::image(g, 3)), {}, true);
            CHECK(together.y.v == apart.y.v);
            CHECK(together.dx.v == apart.dx.v);
            CHECK(together.y.v == again.y.v);
            CHECK(together.dx.v == again.dx.v);
            CHECK(reference::image(together.y, 3).v == one.y.v);
            CHECK(reference::image(together.dx, 3).v == one.dx.v);
        }
}

TEST_CASE("normalizations give the documented numbers") {
    const Tensor line(1, 1, 1, 4, {1, -2, 3, .5}), lineGradient(1, 1, 1, 4, {1, .5, -1, 2});
    const auto check = [](const Normalization& k, const Tensor& x, const Tensor& g, const Tensor& y,
                          const Tensor& dx) {
        for (const bool takesAll : {false, true}) { // given with six digits
            const PairResult actual = both(k, upload(x), upload(g), {}, takesAll);
            CHECK(reference::compare(actual.y, y, {4e-6}));
            CHECK(reference::compare(actual.dx, dx, {4e-6}));
        }
    };
    Normalization k{NormalizationType::CrossChannel, 3, 1, 1, .75, 2};
    check(k, line, lineGradient, Tensor(1, 1, 1, 4, {.377395, -.482057, .744113, .147693}),
          Tensor(1, 1, 1, 4, {.344009, .0713202, -.107021, .605234}));
    k.kernelWidth = 2;
    check(k, line, lineGradient, Tensor(1, 1, 1, 4, {.502973, -.647322, .602639, .121082}),
          Tensor(1, 1, 1, 4, {.406025, -.0524045, -.123602, .470622}));

    const Tensor x(1, 3, 3, 1, {1, -1, 2, 0, 3, 1, -2, .5, 1});
    const Tensor g(1, 3, 3, 1, {1, 0, -1, 2, .5, 1, 0, 1, -1});
    k = {NormalizationType::Spatial, 3, 3, 1, .75, 1};
    k.outputWidth = k.outputHeight = 3;
    check(k, x, g,
          Tensor(1, 3, 3, 1,
                 {.549426, -.464758, .958415, 0, 1.20853, .461303, -1.01441, .237749, .544331}),
          Tensor(1, 3, 3, 1,
                 {.478256, .0386738, -.474141, .950995, .162245, .48945, .0893395, .459621,
                  -.576084}));
    k = {NormalizationType::LocalContrast, 3, 3, 1, .5, .25, 1, .1, 2};
    k.outputWidth = k.outputHeight = 3;
    check(k, x, g,
          Tensor(
              1, 3, 3, 1,
              {1.24286, -2.54906, 2.37816, -.140772, 3.29396, .548561, -3.22896, .265948, .832793}),
          Tensor(1, 3, 3, 1,
                 {1.05873, -.559294, -1.57992, 2.21643, .219431, 1.63171, -.390118, .978385,
                  -2.11265}));
}

TEST_CASE("the cross-channel window may be wider than a workgroup hands on") {
    for (const size_t size : {10, 33, 257, 258, 400}) {
        INFO(size << " channels");
        Normalization k{NormalizationType::CrossChannel, size, 1, 3, .75, .5};
        k.outputWidth = 3, k.outputHeight = 2;
        const Tensor x = reference::random(2, 2, 3, 301, 5), g = reference::randomLike(x, 6);
        const PairResult actual = both(k, upload(x), upload(g), {}, true);
        CHECK(reference::compare(actual.y, forward(k, x)));
        CHECK(reference::compare(actual.dx, gradient(k, g, x)));
        const PairResult apart = both(k, uploadApart(x), uploadApart(g), {}, true);
        CHECK(actual.dx.v == apart.dx.v);
    }
}

TEST_CASE("a large mean does not cancel the variance of a local contrast") {
    for (const size_t size : {3, 9}) {
        INFO(size << "x" << size);
        Normalization k{NormalizationType::LocalContrast, size, size, 2, .5, .5};
        k.outputWidth = 9, k.outputHeight = 8;
        k.edge = clamp;
        Tensor x = reference::random(1, 8, 9, 4, 7);
        for (double& v : x.v) v += 500;
        x = reference::rounded(x, reference::Storage::Float32);
        const Tensor g = reference::random(1, 8, 9, 4, 8);
        const PairResult actual = both(k, upload(x), upload(g), {}, true);
        // The mean itself is known to half a unit in the last place of 500.
        CHECK(reference::compare(actual.y, forward(k, x), {0, 6e-5}));
        CHECK(reference::compare(actual.dx, gradient(k, g, x), {4e-5}));
    }
}

TEST_CASE("powers of any beta are exact to single precision") {
    for (const double beta : {0., .25, .5, .75, 1., 3.75, 5., 16., .1, 7.3, -.5, 17.}) {
        INFO("beta " << beta);
        Normalization k{NormalizationType::CrossChannel, 3, 1, .4, beta, .7};
        k.outputWidth = 4, k.outputHeight = 3;
        const Tensor x = reference::random(1, 3, 4, 8, 9, -2, 2), g = reference::randomLike(x, 10);
        const PairResult actual = both(k, upload(x), upload(g), {}, true);
        CHECK(reference::compare(actual.y, forward(k, x)));
        CHECK(reference::compare(actual.dx, gradient(k, g, x)));
    }
}

TEST_CASE("what pixels hold that no result reads does not matter to a normalization's gradient") {
    for (const NormalizationType type : types)
        for (const size_t which : {5, 7}) {
            INFO("type " << int(type) << ", " << cases[which].name);
            Normalization k = normalizationOf(cases[which], type, zero);
            k.offsetX = k.offsetY = 0, k.outputWidth = 3, k.outputHeight = 2;
            // Windows end 8 pixels behind the result's last one at most.
            Tensor x = reference::random(2, 12, 13, 6, 15);
            const Tensor g = reference::random(2, 2, 3, 6, 16);
            const Tensor expected = both(k, upload(x), upload(g), {}, true).dx;
            for (size_t i = 0; i < x.size(); ++i)
                if (const size_t pixel = i / 6; pixel % 13 >= 11 || pixel / 13 % 12 >= 10)
                    x.v[i] = std::nan("");
            CHECK(both(k, upload(x), upload(g), {}, true).dx.v == expected.v);
        }
}

TEST_CASE(
    "local normalization gradients are the slopes of the normalizations between two neurons") {
    for (const NormalizationType type : types)
        for (const size_t which : {3, 7}) {
            INFO("type " << int(type) << ", " << cases[which].name);
            const Normalization k = normalizationOf(cases[which], type, clamp);
            reference::GradientCheckOptions options;
            options.step = 1e-2;
            options.tolerance = 4e-3;
            options.samples = 12;
            CHECK(checkBetweenNeurons(pairOf(k, false), reference::random(1, 6, 7, 3, 13, -2, 2),
                                      reference::random(1, k.outputHeight, k.outputWidth, 3, 14),
                                      options));
        }
}
