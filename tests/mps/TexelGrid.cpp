#include "mps/Encoder.hpp"
#include "support/EveryKernel.hpp"

#include <mpsvk/MPS/CNNDropout.hpp>
#include <mpsvk/MPS/CNNNeuron.hpp>
#include <mpsvk/MPS/CNNNormalization.hpp>
#include <mpsvk/MPS/CNNPooling.hpp>
#include <mpsvk/MPS/CNNSoftMax.hpp>
#include <mpsvk/MPS/CNNUpsampling.hpp>

#include <catch2/catch_test_macros.hpp>

using namespace mpsvk;
using namespace mpsvk::test;
using reference::Tensor;

namespace {

/// Forward and gradient of fp16 images in buffers, whose texels the kernels take in pairs, against
/// those of fp32 images with the same values, which they take singly.
template <class Forward, class Gradient>
void checkPairs(const char* name, Forward makeForward, Gradient makeGradient, const Tensor& x,
                bool readsResult = false) {
    INFO(name << " " << x.c << " channels");
    const Variant single, paired{MPS::ImageFeatureChannelFormat::Float16};
    Tensor y[2], dx[2], g;
    for (const bool pairs : {false, true}) {
        const Variant variant = pairs ? paired : single;
        auto forward = makeForward();
        auto gradient = makeGradient();
        forward.setDestinationImageAllocator(MPS::Image::defaultAllocator());
        gradient.setDestinationImageAllocator(MPS::Image::defaultAllocator());
        const auto source = upload(x, variant);
        MPS::StateBatch states;
        MPS::ImageBatch result, resultGradient;
        run([&](const MTL::CommandBuffer& commands) {
            result = forward.encodeBatch(commands, source, &states, false);
        });
        y[pairs] = download(result);
        if (!pairs) {
            g = reference::rounded(reference::randomLike(y[0], 91), reference::Storage::Float16);
            if (readsResult)
                result = upload(reference::rounded(y[0], reference::Storage::Float16), variant);
        }
        if (pairs && readsResult)
            result = upload(reference::rounded(y[0], reference::Storage::Float16), variant);
        const auto gradients = upload(g, variant);
        run([&](const MTL::CommandBuffer& commands) {
            resultGradient =
                gradient.encodeBatch(commands, gradients, readsResult ? result : source, states);
        });
        dx[pairs] = download(resultGradient);
    }
    CHECK(reference::compare(y[1], y[0], {paired.tolerance()}));
    CHECK(reference::compare(dx[1], dx[0], {paired.tolerance()}));
}

Tensor source(size_t channels, size_t height = 5, size_t width = 7) {
    return reference::rounded(reference::distinct(2, height, width, channels, channels, -2, 2),
                              reference::Storage::Float16);
}

} // namespace

TEST_CASE("quotients without a division are exact") {
    const auto check = [](uint32_t n, uint32_t divisor) {
        const auto grid = mps::texelGrid(divisor, 1, 1, 1);
        return glsl::quotient(n, grid.slicesFactor, grid.shifts & 255) == n / divisor;
    };
    size_t wrong = 0;
    for (uint32_t divisor = 1; divisor < 300; ++divisor)
        for (uint32_t n = 0; n < 2000; ++n) wrong += !check(n, divisor);
    for (uint64_t divisor = 1; divisor <= 0x7fffffff; divisor += 1 + divisor / 7)
        for (uint64_t multiple = divisor; multiple <= 0x7fffffff;
             multiple += divisor * (1 + multiple / divisor / 5))
            for (uint64_t n = multiple - 1; n <= multiple + 1 && n <= 0x7fffffff; ++n)
                wrong += !check(uint32_t(n), uint32_t(divisor));
    wrong +=
        !check(0x7fffffff, 1) + !check(0x7fffffff, 0x7fffffff) + !check(0x7ffffffe, 0x7fffffff);
    CHECK(wrong == 0);
}

TEST_CASE("the grid of a rectangle has the factors of all its sizes") {
    const auto grid = mps::texelGrid(5, 37, 1000, 3);
    CHECK(glsl::texelCount(grid) == 5u * 37 * 1000 * 3);
    const uint32_t index = ((2 * 1000 + 999) * 37 + 36) * 5 + 4;
    const uint32_t pixel = glsl::quotient(index, grid.slicesFactor, grid.shifts & 255);
    const uint32_t row = glsl::quotient(pixel, grid.widthFactor, grid.shifts >> 8 & 255);
    CHECK(pixel == index / 5);
    CHECK(row == index / 5 / 37);
    CHECK(glsl::quotient(row, grid.heightFactor, grid.shifts >> 16) == 2);
}

TEST_CASE("kernels give the same for pairs of texels and for single ones") {
    const auto device = testDevice();
    for (const size_t channels : {16, 14, 40}) {
        const Tensor x = source(channels);
        const MPS::NNNeuronDescriptor neuron(MPS::CNNNeuronType::Sigmoid);
        checkPairs(
            "neuron", [&] { return MPS::CNNNeuron(device, neuron); },
            [&] { return MPS::CNNNeuronGradient(device, neuron); }, x);
        checkPairs(
            "dropout",
            [&] {
                return MPS::CNNDropout(device, .5f, 7, {1, 1, 1});
            },
            [&] {
                return MPS::CNNDropoutGradient(device, .5f, 7, {1, 1, 1});
            },
            x);
        for (const uint64_t size : {2, 3}) {
            checkPairs(
                "max pooling", [&] { return MPS::CNNPoolingMax(device, size, size, 2, 2); },
                [&] { return MPS::CNNPoolingMaxGradient(device, size, size, 2, 2); }, x);
            checkPairs(
                "average pooling", [&] { return MPS::CNNPoolingAverage(device, size, size, 2, 2); },
                [&] { return MPS::CNNPoolingAverageGradient(device, size, size, 2, 2); }, x);
        }
        checkPairs(
            "nearest", [&] { return MPS::CNNUpsamplingNearest(device, 2, 3); },
            [&] { return MPS::CNNUpsamplingNearestGradient(device, 2, 3); }, x);
        for (const double factor : {2., 1.5, 5.})
            checkPairs(
                "bilinear", [&] { return MPS::CNNUpsamplingBilinear(device, factor, factor); },
                [&] { return MPS::CNNUpsamplingBilinearGradient(device, factor, factor); }, x);
        for (const uint64_t size : {3, 5, 30})
            checkPairs(
                "cross-channel normalization",
                [&] { return MPS::CNNCrossChannelNormalization(device, size); },
                [&] { return MPS::CNNCrossChannelNormalizationGradient(device, size); }, x);
        checkPairs(
            "softmax", [&] { return MPS::CNNSoftMax(device); },
            [&] { return MPS::CNNSoftMaxGradient(device); }, x, true);
    }
    checkPairs(
        "softmax", [&] { return MPS::CNNLogSoftMax(device); },
        [&] { return MPS::CNNLogSoftMaxGradient(device); }, source(1400, 2, 1), true);
    checkPairs(
        "softmax", [&] { return MPS::CNNSoftMax(device); },
        [&] { return MPS::CNNSoftMaxGradient(device); }, source(152, 2, 3), true);
}
