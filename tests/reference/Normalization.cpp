#include "support/reference/Normalization.hpp"
#include "support/GradientCheck.hpp"

#include <catch2/catch_test_macros.hpp>

#include <random>

using namespace mpsvk::reference;

namespace {

Normalization randomNormalization(std::uint32_t seed, Tensor& source) {
    std::mt19937 numbers(seed);
    const auto pick = [&](int low, int high) {
        return low + static_cast<int>(numbers() % static_cast<unsigned>(high - low + 1));
    };
    Normalization k;
    k.type = static_cast<NormalizationType>(pick(0, 2));
    k.kernelWidth = pick(1, 5);
    k.kernelHeight = pick(1, 5);
    k.alpha = pick(0, 4) / 2.;
    k.beta = pick(0, 8) / 4.;
    k.delta = 1 + pick(0, 4) / 4.;
    k.p0 = pick(0, 4) / 4.;
    k.pm = pick(-2, 2);
    k.ps = pick(1, 3);
    k.offsetX = pick(-3, 3);
    k.offsetY = pick(-3, 3);
    k.edge = pick(0, 1) ? EdgeMode::Clamp : EdgeMode::Zero;
    k.outputWidth = pick(1, 6);
    k.outputHeight = pick(1, 6);
    source = random(pick(1, 2), pick(1, 5), pick(1, 5), pick(1, 6), seed + 1, -2, 2);
    return k;
}

const Tolerance printed{.relative = 5e-6};

} // namespace

TEST_CASE("Normalizations give the published values", "[reference]") {
    const Tensor line(1, 1, 1, 4, {1, -2, 3, 0.5}), lineGradient(1, 1, 1, 4, {1, 0.5, -1, 2});
    Normalization k{NormalizationType::CrossChannel, 3, 1, 1, 0.75, 2};
    CHECK(compare(forward(k, line).v, {0.377395, -0.482057, 0.744113, 0.147693}, printed));
    CHECK(compare(gradient(k, lineGradient, line).v, {0.344009, 0.0713202, -0.107021, 0.605234},
                  printed));
    k.kernelWidth = 2;
    CHECK(compare(forward(k, line).v, {0.502973, -0.647322, 0.602639, 0.121082}, printed));
    CHECK(compare(gradient(k, lineGradient, line).v, {0.406025, -0.0524045, -0.123602, 0.470622},
                  printed));

    const Tensor x(1, 3, 3, 1, {1, -1, 2, 0, 3, 1, -2, 0.5, 1});
    const Tensor g(1, 3, 3, 1, {1, 0, -1, 2, 0.5, 1, 0, 1, -1});
    k = {NormalizationType::Spatial, 3, 3, 1, 0.75, 1};
    k.outputWidth = k.outputHeight = 3;
    CHECK(
        compare(forward(k, x).v,
                {0.549426, -0.464758, 0.958415, 0, 1.20853, 0.461303, -1.01441, 0.237749, 0.544331},
                printed));
    CHECK(compare(gradient(k, g, x).v,
                  {0.478256, 0.0386738, -0.474141, 0.950995, 0.162245, 0.48945, 0.0893395, 0.459621,
                   -0.576084},
                  printed));
    k = {NormalizationType::LocalContrast, 3, 3, 1, 0.5, 0.25, 1, 0.1, 2};
    k.outputWidth = k.outputHeight = 3;
    CHECK(compare(
        forward(k, x).v,
        {1.24286, -2.54906, 2.37816, -0.140772, 3.29396, 0.548561, -3.22896, 0.265948, 0.832793},
        printed));
    CHECK(compare(
        gradient(k, g, x).v,
        {1.05873, -0.559294, -1.57992, 2.21643, 0.219431, 1.63171, -0.390118, 0.978385, -2.11265},
        printed));
}

TEST_CASE("A local contrast with alpha 0 subtracts the mean", "[reference]") {
    Normalization k{NormalizationType::LocalContrast, 2, 1, 0, 0.5, 4};
    k.outputWidth = 3; // a window of two leans to the left
    const Tensor x(1, 1, 3, 1, {2, 4, 8});
    CHECK(forward(k, x).v == std::vector<double>{0.5, 0.5, 1});
    k.edge = EdgeMode::Clamp;
    CHECK(forward(k, x).v == std::vector<double>{0, 0.5, 1});
}

TEST_CASE("Normalization gradients are the derivatives of normalization", "[reference]") {
    for (std::uint32_t seed = 1; seed <= 300; ++seed) {
        Tensor source;
        const Normalization k = randomNormalization(seed * 7907, source);
        const Tensor cotangent = randomLike(forward(k, source), seed);
        INFO("seed " << seed << ", type " << static_cast<int>(k.type));
        CHECK(checkGradient([&](const Tensor& x) { return dot(forward(k, x), cotangent); }, source,
                            gradient(k, cotangent, source), {.samples = 24}));
    }
}
