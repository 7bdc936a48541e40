#include "support/reference/Convolution.hpp"
#include "support/GradientCheck.hpp"

#include <catch2/catch_test_macros.hpp>

#include <random>

using namespace mpsvk::reference;

namespace {

struct Case {
    Convolution k;
    Tensor source;
};

Case randomCase(std::uint32_t seed) {
    std::mt19937 numbers(seed);
    const auto pick = [&](int low, int high) {
        return low + static_cast<int>(numbers() % static_cast<unsigned>(high - low + 1));
    };
    Case result;
    Convolution& k = result.k;
    k.groups = pick(1, 3);
    k.inputChannels = k.groups * pick(1, 2);
    k.outputChannels = k.groups * pick(1, 3);
    if (pick(0, 3) == 0) { // depthwise, with a multiplier
        k.groups = k.inputChannels;
        k.outputChannels = k.groups * pick(1, 2);
    }
    k.kernelWidth = pick(1, 5);
    k.kernelHeight = pick(1, 4);
    k.strideX = pick(1, 3);
    k.strideY = pick(1, 3);
    k.dilationX = pick(1, 3);
    k.dilationY = pick(1, 2);
    k.offsetX = pick(-3, 4);
    k.offsetY = pick(-3, 4);
    k.edge = pick(0, 1) ? EdgeMode::Clamp : EdgeMode::Zero;
    k.outputWidth = pick(1, 5);
    k.outputHeight = pick(1, 4);
    k.weights = randomVector(k.weightCount(), seed + 1);
    k.bias = pick(0, 1) ? randomVector(k.outputChannels, seed + 2) : std::vector<double>{};
    result.source = random(pick(1, 2), pick(1, 6), pick(1, 7), k.inputChannels, seed + 3);
    return result;
}

template <class Kernel>
void checkGradients(const Kernel& k, const Tensor& source, std::uint64_t seed) {
    const Tensor cotangent = randomLike(forward(k, source), seed);
    GradientCheckOptions options;
    options.step = 1e-3; // linear: the step does not matter
    options.tolerance = 1e-9;
    options.samples = 40;
    CHECK(checkGradient([&](const Tensor& x) { return dot(forward(k, x), cotangent); }, source,
                        dataGradient(k, cotangent, source.h, source.w), options));
    using Values = std::vector<double>;
    const auto ofWeights = [&](const Values& weights) {
        Kernel moved = k;
        moved.weights = weights;
        return dot(forward(moved, source), cotangent);
    };
    CHECK(checkGradient(ofWeights, k.weights, weightsGradient(k, cotangent, source), options));
    if (!k.bias.empty()) {
        const auto ofBias = [&](const Values& bias) {
            Kernel moved = k;
            moved.bias = bias;
            return dot(forward(moved, source), cotangent);
        };
        CHECK(checkGradient(ofBias, k.bias, biasGradient(cotangent), options));
    }
}

} // namespace

TEST_CASE("A convolution computes what is computed by hand", "[reference]") {
    Convolution k;
    k.kernelWidth = 3;
    k.outputWidth = 4;
    k.weights = {1, 10, 100};
    const Tensor source(1, 1, 4, 1, {1, 2, 3, 4});
    CHECK(forward(k, source).v == std::vector<double>{210, 321, 432, 43});
    k.edge = EdgeMode::Clamp;
    CHECK(forward(k, source).v == std::vector<double>{211, 321, 432, 443});
    k.edge = EdgeMode::Zero;
    k.kernelWidth = 2; // reads one to the left
    k.weights = {1, 10};
    CHECK(forward(k, source).v == std::vector<double>{10, 21, 32, 43});
    k.dilationX = 3; // -2 and +1
    CHECK(forward(k, source).v == std::vector<double>{20, 30, 41, 2});
    k.dilationX = 1;
    k.strideX = 2;
    k.offsetX = 1;
    k.outputWidth = 2;
    k.bias = {0.5};
    CHECK(forward(k, source).v == std::vector<double>{21.5, 43.5});
}

TEST_CASE("A convolution treats rows as columns", "[reference]") {
    Convolution k;
    k.kernelHeight = 3;
    k.outputHeight = 4;
    k.weights = {1, 10, 100};
    const Tensor source(1, 4, 1, 1, {1, 2, 3, 4});
    CHECK(forward(k, source).v == std::vector<double>{210, 321, 432, 43});
    k.edge = EdgeMode::Clamp;
    CHECK(forward(k, source).v == std::vector<double>{211, 321, 432, 443});
    k.edge = EdgeMode::Zero;
    k.kernelHeight = 2;
    k.dilationY = 3;
    k.weights = {1, 10};
    CHECK(forward(k, source).v == std::vector<double>{20, 30, 41, 2});
    k.dilationY = 1;
    k.strideY = 2;
    k.offsetY = 1;
    k.outputHeight = 2;
    CHECK(forward(k, source).v == std::vector<double>{21, 43});
}

TEST_CASE("Groups and weights are laid out as published", "[reference]") {
    Convolution k;
    k.inputChannels = 4;
    k.outputChannels = 2;
    k.groups = 2;
    k.weights = {1, 10, 100, 1000};
    CHECK(forward(k, {1, 1, 1, 4, {1, 2, 3, 4}}).v == std::vector<double>{21, 4300});

    Convolution depthwise; // two channels, multiplier 2
    depthwise.inputChannels = depthwise.groups = 2;
    depthwise.outputChannels = 4;
    depthwise.weights = {1, 2, 3, 4};
    CHECK(forward(depthwise, {1, 1, 1, 2, {10, 20}}).v == std::vector<double>{10, 20, 60, 80});

    Convolution tall; // [output][row][column][input]
    tall.inputChannels = 2;
    tall.kernelWidth = 1;
    tall.kernelHeight = 2;
    tall.offsetY = 1;
    tall.weights = {1, 10, 100, 1000};
    CHECK(forward(tall, {1, 2, 1, 2, {1, 2, 3, 4}}).v == std::vector<double>{4321});
    const Tensor whole(1, 2, 2, 1, {1, 2, 3, 4});
    CHECK(forward(fullyConnected(whole, {1, 10, 100, 1000}, {}), whole).v ==
          std::vector<double>{4321});
}

TEST_CASE("Batch normalization and neuron are fused in this order", "[reference]") {
    Convolution k;
    k.weights = {2};
    k.bias = {1};
    k.normalization = {{3}, {3.75}, {10}, {-4}, 0.25};
    k.neuron = {.type = NeuronType::ReLU, .a = 0.5};
    // 2x + 1 is 5 and 1; normalized 1 and -1; times 10, less 4: 6 and -14
    k.outputWidth = 2;
    CHECK(forward(k, {1, 1, 2, 1, {2, 0}}).v == std::vector<double>{6, -7});
}

TEST_CASE("Sub-pixel convolution shuffles channels into pixels", "[reference]") {
    Convolution k;
    k.inputChannels = 1;
    k.outputChannels = 8;
    k.subPixelScale = 2;
    k.outputWidth = 3;
    k.outputHeight = 2;
    k.weights = {1, 2, 3, 4, 5, 6, 7, 8};
    const Tensor result = forward(k, {1, 1, 2, 1, {1, 10}});
    CHECK(result.v == std::vector<double>{1, 2, 3, 4, 10, 20, 5, 6, 7, 8, 50, 60});
}

TEST_CASE("Convolution gradients are the derivatives of the convolution", "[reference]") {
    for (std::uint32_t seed = 1; seed <= 200; ++seed) {
        const Case c = randomCase(seed * 7919);
        INFO("seed " << seed);
        checkGradients(c.k, c.source, seed);
    }
}

TEST_CASE("Transposed convolution and its gradients", "[reference]") {
    ConvolutionTranspose k;
    k.kernelWidth = 3;
    k.strideX = 2;
    k.outputWidth = 5;
    k.weights = {1, 10, 100};
    // The spread source is 1 0 2 0 3.
    CHECK(forward(k, {1, 1, 3, 1, {1, 2, 3}}).v == std::vector<double>{10, 201, 20, 302, 30});

    for (std::uint32_t seed = 1; seed <= 100; ++seed) {
        Case c = randomCase(seed * 104729);
        static_cast<Convolution&>(k) = c.k;
        k.edge = EdgeMode::Zero;
        k.kernelOffsetX = static_cast<std::ptrdiff_t>(seed % 5) - 2;
        k.kernelOffsetY = static_cast<std::ptrdiff_t>(seed % 3) - 1;
        INFO("seed " << seed);
        checkGradients(k, c.source, seed);
    }
}

TEST_CASE("A transposed convolution undoes a convolution's geometry", "[reference]") {
    // Rotated weights with inputs and outputs exchanged, kernelOffset = -offset + even(extent).
    for (std::uint32_t seed = 1; seed <= 100; ++seed) {
        Case c = randomCase(seed * 31337);
        Convolution& k = c.k;
        k.groups = 1;
        k.edge = EdgeMode::Zero;
        k.weights = randomVector(k.weightCount(), seed);
        const auto even = [](std::size_t taps, std::size_t dilation) {
            return static_cast<std::ptrdiff_t>((taps - 1) * dilation % 2);
        };
        ConvolutionTranspose t;
        static_cast<Convolution&>(t) = k;
        std::swap(t.inputChannels, t.outputChannels);
        t.bias.clear();
        t.offsetX = t.offsetY = 0;
        t.kernelOffsetX = -k.offsetX + even(k.kernelWidth, k.dilationX);
        t.kernelOffsetY = -k.offsetY + even(k.kernelHeight, k.dilationY);
        t.outputWidth = c.source.w;
        t.outputHeight = c.source.h;
        const std::size_t taps = k.kernelWidth * k.kernelHeight;
        for (std::size_t o = 0; o < k.outputChannels; ++o) {
            for (std::size_t tap = 0; tap < taps; ++tap) {
                for (std::size_t i = 0; i < k.inputChannels; ++i) {
                    t.weights[(i * taps + taps - 1 - tap) * k.outputChannels + o] =
                        k.weights[(o * taps + tap) * k.inputChannels + i];
                }
            }
        }
        const Tensor e = random(c.source.n, k.outputHeight, k.outputWidth, k.outputChannels, seed);
        INFO("seed " << seed);
        CHECK(compare(forward(t, e), dataGradient(k, e, c.source.h, c.source.w),
                      {.relative = 1e-12, .absolute = 1e-14}));
    }
}
