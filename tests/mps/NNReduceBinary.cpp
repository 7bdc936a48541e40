#include "support/Conformance.hpp"
#include "support/EveryKernel.hpp"
#include "support/reference/Reduce.hpp"

#include <mpsvk/MPS/NNReduce.hpp>

#include <catch2/catch_test_macros.hpp>

#include <cmath>
#include <memory>

using namespace mpsvk;
using namespace mpsvk::test;
using reference::Correlation;
using reference::Tensor;
using reference::Weighting;

namespace {

template <class Kernel> Kernel clipped(Kernel kernel) {
    kernel.setPrimarySourceClipRect({{1, 2, 0}, {4, 3, 1}});
    kernel.setSecondarySourceClipRect({{0, 1, 0}, {4, 3, 1}});
    return kernel;
}
[[maybe_unused]] const bool named[] = {
    everyOther(
        [] { return clipped(MPS::NNReduceFeatureChannelsAndWeightsSum(testDevice(), true)); }),
    everyOther([] { return clipped(MPS::NNReduceFeatureChannelsAndWeightsMean(testDevice())); }),
    everyOther([] { return clipped(MPS::NNLocalCorrelation(testDevice(), 1, 2, 3, 4)); }),
};

std::unique_ptr<MPS::NNReduceBinary> weighted(Weighting weighting) {
    if (weighting == Weighting::Mean)
        return std::make_unique<MPS::NNReduceFeatureChannelsAndWeightsMean>(testDevice());
    return std::make_unique<MPS::NNReduceFeatureChannelsAndWeightsSum>(
        testDevice(), weighting == Weighting::SumOverNonZero);
}

Tensor result(MPS::NNReduceBinary& kernel, const MPS::ImageBatch& a, const MPS::ImageBatch& b) {
    kernel.setDestinationImageAllocator(MPS::Image::defaultAllocator());
    MPS::ImageBatch y;
    run([&](const MTL::CommandBuffer& commands) { y = kernel.encodeBatch(commands, a, b); });
    return download(y);
}

/// Some weights are 0.
Tensor weightsLike(const Tensor& x, uint64_t seed) {
    Tensor w = reference::randomLike(x, seed);
    for (size_t i = 0; i < w.size(); i += 3) w.v[i] = 0;
    for (size_t i = 0; i < x.c; ++i) w.v[i] = 0;
    return w;
}

MPS::NNLocalCorrelation kernelOf(const Correlation& k) {
    MPS::NNLocalCorrelation kernel(testDevice(), uint64_t(k.windowX), uint64_t(k.windowY),
                                   uint64_t(k.strideX), uint64_t(k.strideY));
    kernel.setSecondaryEdgeMode(k.edge == reference::EdgeMode::Clamp ? MPS::ImageEdgeMode::Clamp
                                                                     : MPS::ImageEdgeMode::Zero);
    return kernel;
}

const std::vector<Correlation> correlations{
    {},
    {.windowX = 1, .windowY = 2},
    {.windowX = 2, .windowY = 1, .strideX = 3, .strideY = 2, .edge = reference::EdgeMode::Clamp}};

} // namespace

TEST_CASE("weighted sums over channels equal the reference in every storage") {
    for (const Variant variant : variants())
        for (const auto weighting : {Weighting::Sum, Weighting::SumOverNonZero, Weighting::Mean})
            for (const size_t channels : {1, 5, 16, 130}) {
                INFO(variant.name() << " " << int(weighting) << ", " << channels << " channels");
                const Tensor x =
                    reference::rounded(reference::random(2, 3, 5, channels, 1), variant.rounding());
                const Tensor w = reference::rounded(weightsLike(x, 2), variant.rounding());
                const Tensor expected = reference::weightedSum(x, w, weighting);
                const Tensor magnitude = reference::weightedSum(reference::absolute(x),
                                                                reference::absolute(w), weighting);
                const auto kernel = weighted(weighting);
                Guarded y(2, 3, 5, 1, variant);
                run([&](const MTL::CommandBuffer& commands) {
                    kernel->encodeBatch(commands, upload(x, variant), upload(w, variant),
                                        y.images());
                });
                CHECK(reference::compare(y.read(), expected, {variant.tolerance(), 0, &magnitude}));
                conforms(kernel->className(), Aspect::Forward, variant);
            }
}

TEST_CASE("what has no weight does not count among weights that are not 0") {
    Tensor x(1, 1, 2, 3), w(1, 1, 2, 3);
    x.v = {INFINITY, 1, 2, INFINITY, 1, 2};
    w.v = {0, 0, 0, 0, 3, 1};
    const auto kernel = weighted(Weighting::SumOverNonZero);
    CHECK(result(*kernel, upload(x), upload(w)).v == std::vector<double>{0, 2.5});
}

TEST_CASE("correlations equal the reference in every storage") {
    for (const Variant variant : variants())
        for (const Correlation& k : correlations)
            for (const size_t channels : {3, 8}) {
                INFO(variant.name() << " window " << k.windowX << "x" << k.windowY);
                const Tensor a =
                    reference::rounded(reference::random(2, 5, 4, channels, 1), variant.rounding());
                const Tensor b =
                    reference::rounded(reference::randomLike(a, 2), variant.rounding());
                const Tensor expected = reference::correlate(k, a, b);
                const Tensor magnitude =
                    reference::correlate(k, reference::absolute(a), reference::absolute(b));
                auto kernel = kernelOf(k);
                conforms(kernel.className(), Aspect::Forward, variant);
                Guarded y(2, 5, 4, expected.c, variant);
                run([&](const MTL::CommandBuffer& commands) {
                    kernel.encodeBatch(commands, upload(a, variant), upload(b, variant),
                                       y.images());
                });
                CHECK(reference::compare(y.read(), expected, {variant.tolerance(), 0, &magnitude}));
                CHECK(reference::compare(result(kernel, upload(a, variant), upload(b, variant)),
                                         expected, {variant.tolerance(), 0, &magnitude}));
            }
}

TEST_CASE("reductions of two images do not depend on where these lie, nor on the run") {
    const Tensor a = reference::random(4, 3, 4, 10, 3), b = weightsLike(a, 4);
    MPS::NNReduceFeatureChannelsAndWeightsSum sum(testDevice(), true);
    auto correlation = kernelOf(correlations[1]);
    for (MPS::NNReduceBinary* kernel : {static_cast<MPS::NNReduceBinary*>(&sum),
                                        static_cast<MPS::NNReduceBinary*>(&correlation)}) {
        const Tensor together = result(*kernel, upload(a), upload(b));
        CHECK(together.v == result(*kernel, uploadApart(a), upload(b)).v);
        CHECK(together.v == result(*kernel, upload(a), upload(b)).v);
        for (size_t i = 0; i < a.n; ++i)
            CHECK(
                reference::image(together, i).v ==
                result(*kernel, upload(reference::image(a, i)), upload(reference::image(b, i))).v);
    }
}

TEST_CASE("rectangles, strides and channel ranges choose what a weighted sum reads") {
    const Tensor x = reference::random(2, 8, 9, 12, 5), w = reference::random(2, 6, 7, 9, 6);
    const auto kernel = weighted(Weighting::Sum);
    kernel->setPrimarySourceClipRect({{1, 2, 0}, {6, 5, 1}});
    kernel->setPrimaryOffset({50, 50, 9}); // the rectangle takes its place
    kernel->setPrimaryStrideInPixelsX(2);
    kernel->setPrimaryStrideInPixelsY(3);
    kernel->setPrimarySourceFeatureChannelOffset(8);
    kernel->setPrimarySourceFeatureChannelMaxCount(3);
    kernel->setSecondarySourceFeatureChannelOffset(4);
    kernel->setSecondarySourceClipRect({{3, 1, 0}, {4, 5, 1}});
    Tensor parts(2, 2, 3, 3), weights = parts;
    for (size_t n = 0; n < 2; ++n)
        for (size_t i = 0; i < 2; ++i)
            for (size_t j = 0; j < 3; ++j)
                for (size_t c = 0; c < 3; ++c) {
                    parts.at(n, i, j, c) = x.at(n, 2 + 3 * i, 1 + 2 * j, 8 + c);
                    weights.at(n, i, j, c) = w.at(n, 1 + i, 3 + j, 4 + c);
                }
    CHECK(reference::compare(result(*kernel, upload(x), upload(w)),
                             reference::weightedSum(parts, weights, Weighting::Sum)));
    kernel->setSecondaryStrideInPixelsX(0); // one weight for a row
    for (size_t n = 0; n < 2; ++n)
        for (size_t i = 0; i < 2; ++i)
            for (size_t j = 0; j < 3; ++j)
                for (size_t c = 0; c < 3; ++c) weights.at(n, i, j, c) = w.at(n, 1 + i, 3, 4 + c);
    kernel->setDestinationFeatureChannelOffset(4);
    kernel->setClipRect({{2, 1, 0}, {3, 2, 1}});
    Tensor expected(2, 4, 5, 8, 7.0);
    const auto y = upload(expected);
    run([&](const MTL::CommandBuffer& commands) {
        kernel->encodeBatch(commands, upload(x), upload(w), y);
    });
    reference::paste(expected, {2, 1}, 4, reference::weightedSum(parts, weights, Weighting::Sum));
    Tensor actual = download(y);
    for (size_t i = 0; i < actual.size(); ++i) // the rest of the slice goes with it
        if (actual.v[i] == 0 && i % 8 > 4) actual.v[i] = 7;
    CHECK(reference::compare(actual, expected));
}

TEST_CASE("a correlation reads around the rectangle of its secondary image") {
    const Tensor a = reference::random(1, 6, 5, 4, 7), b = reference::random(1, 7, 8, 4, 8);
    Correlation k{.windowX = 1, .windowY = 1};
    auto kernel = kernelOf(k);
    kernel.setPrimarySourceClipRect({{1, 2, 0}, {3, 4, 1}});
    kernel.setSecondarySourceClipRect({{2, 1, 0}, {1, 1, 1}});
    k.otherX = 2, k.otherY = 1;
    CHECK(reference::compare(result(kernel, upload(a), upload(b)),
                             reference::correlate(k, reference::crop(a, {1, 2, 3, 4}), b)));
    CHECK(kernel.copy(testDevice()).windowInX() == 1);
}

TEST_CASE("arrays of images are correlated one by one") {
    MPS::ImageDescriptor d(MPS::ImageFeatureChannelFormat::Float32, 3, 2, 4, 3);
    const MPS::Image a(testDevice(), d), b(testDevice(), d);
    std::vector<Tensor> first, second;
    for (size_t i = 0; i < 3; ++i) {
        first.push_back(reference::random(1, 2, 3, 4, 10 + i));
        second.push_back(reference::random(1, 2, 3, 4, 20 + i));
        a.write(first[i].floats(), MPS::DataLayout::HeightxWidthxFeatureChannels, i);
        b.write(second[i].floats(), MPS::DataLayout::HeightxWidthxFeatureChannels, i);
    }
    auto kernel = kernelOf(correlations[0]);
    kernel.setPrimarySourceClipRect({{0, 0, 1}, {3, 2, 2}});
    kernel.setDestinationImageAllocator(MPS::Image::defaultAllocator());
    MPS::Image y;
    run([&](const MTL::CommandBuffer& commands) { y = kernel.encode(commands, a, b); });
    REQUIRE(y.numberOfImages() == 2);
    std::vector<float> values(6);
    for (size_t i = 0; i < 2; ++i) {
        y.read(values, MPS::DataLayout::HeightxWidthxFeatureChannels, i);
        CHECK(reference::compare(reference::fromFloats(1, 2, 3, 1, values),
                                 reference::correlate({}, first[1 + i], second[i])));
    }
}

TEST_CASE("reductions of two images refuse what cannot be") {
    const auto a = upload(reference::random(1, 4, 6, 5, 1)), b = upload(Tensor(1, 3, 6, 4));
    const auto commands = testQueue().commandBuffer();
    const auto sum = weighted(Weighting::Sum);
    CHECK(refusal([&] { sum->encodeBatch(commands, a, b); }) ==
          "[NNReduceFeatureChannelsAndWeightsSum] secondaryImage offers 4 feature channels but "
          "primaryImage 5.");
    sum->setPrimarySourceFeatureChannelMaxCount(4);
    CHECK(refusal([&] { sum->encodeBatch(commands, a, b); }) ==
          "[NNReduceFeatureChannelsAndWeightsSum] The clip rectangle covers 6x4 pixels of the "
          "destination but the result has only 6x3.");
    sum->setSecondarySourceClipRect({{0, 9, 0}, {1, 1, 1}});
    CHECK(refusal([&] { sum->encodeBatch(commands, a, b); }) ==
          "[NNReduceFeatureChannelsAndWeightsSum] secondarySourceClipRect is 1x1 at (0, 9) and "
          "holds no pixel of the 6x3 source.");
    CHECK(refusal([&] { MPS::NNLocalCorrelation(testDevice(), 1, 1, 0, 1); }) ==
          "[NNLocalCorrelation] The stride is 0x1 but each must be at least 1.");
    for (const char* name : {"NNReduceFeatureChannelsAndWeightsSum",
                             "NNReduceFeatureChannelsAndWeightsMean", "NNLocalCorrelation"})
        conforms(name, Aspect::Misuse);
    CHECK(refusal([&] {
              weighted(Weighting::Mean)->encodeBatch(commands, a, b);
          }).starts_with("[NNReduceFeatureChannelsAndWeightsMean] secondaryImage offers 4"));
    MPS::NNLocalCorrelation far(testDevice(), 1, 0, 1 << 30, 1);
    CHECK(refusal([&] { far.encodeBatch(commands, a, a); }).find("2^30") != std::string::npos);
}
